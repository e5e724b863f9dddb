//! The log macros as a crate without `log` or `defmt` of its own uses them.

use std::sync::Mutex;

use coracle_board_api::{debug, error, info, warn};

struct Lines(Mutex<Vec<String>>);

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().expect("no test panicked while logging").push(format!("{} {}", record.level(), record.args()));
    }
    fn flush(&self) {}
}

static LINES: Lines = Lines(Mutex::new(Vec::new()));

#[test]
fn lines_reach_the_log_crate_with_level_and_arguments() {
    log::set_logger(&LINES).expect("the only logger of this process");
    log::set_max_level(log::LevelFilter::Debug);
    error!("lost {} of {}", 1_u32, "two");
    warn!("w");
    info!("i");
    debug!("d {}", true);
    assert_eq!(*LINES.0.lock().expect("not poisoned"), ["ERROR lost 1 of two", "WARN w", "INFO i", "DEBUG d true"]);
}
