//! What messages between the cores cost: times on this machine, instructions on the M core, bytes of code; and what guests
//! cost the M core.

mod guest;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use coracle_bench::{Cost, PAYLOADS, REMOTE_CODE_BYTES_MAX};
use coracle_test_scenario::Workspace;
use serde_json::Value;

use crate::{cargo, setup};

/// A page that shows results.
#[derive(Clone, Copy)]
struct Page {
    path: &'static str,
    /// The results stand after this line of the page and before [`END`].
    start: &'static str,
}

const IPC_PAGE: Page =
    Page { path: "docs/ipc-benchmarks.md", start: "<!-- results: written by cargo xtask bench ipc --save -->" };
const GUEST_PAGE: Page =
    Page { path: "docs/guest-benchmarks.md", start: "<!-- results: written by cargo xtask bench guest --save -->" };
const END: &str = "<!-- end of results -->";
/// Where the benchmark's program leaves what it measured, in the workspace.
const MEASURED: &str = "target/bench-ipc";
/// Bulk payloads of the table, in bytes, with their names.
const BULK_PAYLOADS: [(usize, &str); 5] =
    [(4 << 10, "4 KiB"), (16 << 10, "16 KiB"), (64 << 10, "64 KiB"), (256 << 10, "256 KiB"), (1 << 20, "1 MiB")];

/// What to measure and what to do with it.
#[derive(Args)]
pub(crate) struct Options {
    /// What to measure.
    suite: Suite,
    /// Measure another implementation in the same run, too. RPMsg-Lite's library is found by RPMSG_LITE_LIB_DIR.
    #[arg(long)]
    peer: Option<Peer>,
    /// Write the results into the suite's page, docs/ipc-benchmarks.md or docs/guest-benchmarks.md.
    #[arg(long)]
    save: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Suite {
    /// Messages and bulk payloads between the cores.
    Ipc,
    /// Host calls, events and memory of containers on the M core.
    Guest,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Peer {
    /// NXP's C library.
    RpmsgLite,
}

/// Measures, prints, and saves if asked to.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    setup::rust_targets()?;
    let root = Workspace::find()?.root;
    let (page, results) = match options.suite {
        Suite::Ipc => (IPC_PAGE, ipc(&root, options)?),
        Suite::Guest => (GUEST_PAGE, guest::run()?),
    };
    println!("\n{results}");
    if options.save {
        save(&root, page, &results)?;
        println!("saved in {}", page.path);
    }
    Ok(ExitCode::SUCCESS)
}

fn ipc(root: &Path, options: &Options) -> Result<String> {
    let peer = options.peer.map_or(Err("give --peer rpmsg-lite"), |Peer::RpmsgLite| rpmsg_lite());
    if let (Some(_), Err(why)) = (options.peer, &peer) {
        eprintln!("RPMsg-Lite: not measured: {why}");
    }
    let mut results = machine();
    let before = load();
    times(root, peer.is_ok())?;
    let measured = Measured(root.join(MEASURED));
    writeln!(results, "Load (programs that want to run, mean of a minute): {before} before, {} after.\n", load())?;
    messages(&mut results, &measured, peer)?;
    bulk(&mut results, &measured)?;
    instructions(&mut results)?;
    let size = coracle_bench::remote_size().map_err(anyhow::Error::msg)?;
    writeln!(
        results,
        "Code of the remote role on the M core: {} of at most {REMOTE_CODE_BYTES_MAX} bytes, besides {} bytes of the \
         compiler's memory routines.",
        size.role, size.runtime
    )?;
    Ok(results)
}

/// What the times depend on.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let processors = thread::available_parallelism().map_or(1, usize::from);
    format!("Machine: {model}, {processors} processors.\n")
}

fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().filter(|word| !word.is_empty()).unwrap_or("unknown").to_owned()
}

/// Whether the library that the user gave is RPMsg-Lite; if not, why it is not measured.
fn rpmsg_lite() -> Result<(), &'static str> {
    let folder =
        std::env::var_os("RPMSG_LITE_LIB_DIR").ok_or("set RPMSG_LITE_LIB_DIR to the folder of librpmsg_lite.a")?;
    let library = fs::read(Path::new(&folder).join("librpmsg_lite.a"))
        .map_err(|_| "the folder RPMSG_LITE_LIB_DIR has no librpmsg_lite.a that can be read")?;
    if is_ours(&library) {
        return Err("the library in RPMSG_LITE_LIB_DIR is Coracle's own stack under RPMsg-Lite's C interface");
    }
    Ok(())
}

/// Whether an archive is our stack under the C interface of RPMsg-Lite: its symbols have our crates' names in them. Its
/// numbers must not pass for those of the C library.
fn is_ours(archive: &[u8]) -> bool {
    const CRATE: &[u8] = b"coracle_rpmsg";
    archive.windows(CRATE.len()).any(|bytes| bytes == CRATE)
}

/// Runs the benchmarks. Their own output shows how they get on.
fn times(root: &Path, with_rpmsg_lite: bool) -> Result<()> {
    // Results of an earlier run must not stand in for those of this one.
    let measured = root.join(MEASURED);
    match fs::remove_dir_all(&measured) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", measured.display()));
        }
        _ => {}
    }
    let mut bench = cargo();
    bench.args(["bench", "--package", "coracle-bench", "--bench", "ipc"]);
    if with_rpmsg_lite {
        bench.args(["--features", "rpmsg-lite"]);
    }
    let status = bench.current_dir(root).env("CRITERION_HOME", measured).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the benchmarks failed; see above");
    }
    Ok(())
}

/// The folder with what was measured.
struct Measured(PathBuf);

/// How long something took, in nanoseconds.
#[derive(Clone, Copy)]
struct Time {
    median: f64,
    /// The median is between this and `high` with 95 % confidence.
    low: f64,
    high: f64,
    /// The fastest sample: what other programs on the machine disturb least.
    best: f64,
}

impl Measured {
    fn time(&self, group: &str, benchmark: Option<usize>) -> Result<Time> {
        let mut path = self.0.join(group.replace('/', "_"));
        path.extend(benchmark.map(|name| name.to_string()));
        let read = |file: &str| {
            let path = path.join("new").join(file);
            let text = fs::read(&path).with_context(|| format!("{} was not measured", path.display()))?;
            serde_json::from_slice::<Value>(&text).with_context(|| path.display().to_string())
        };
        let estimates = read("estimates.json")?;
        let number = |pointer: &str| {
            let number = estimates.pointer(pointer).and_then(Value::as_f64);
            number.with_context(|| format!("{}: no {pointer}", path.display()))
        };
        let sample = read("sample.json")?;
        let numbers = |name: &str| sample.get(name).and_then(Value::as_array).into_iter().flatten();
        let took = numbers("times").zip(numbers("iters")).filter_map(|(time, iterations)| {
            let (time, iterations) = (time.as_f64()?, iterations.as_f64()?);
            (iterations > 0.0).then_some(time / iterations)
        });
        Ok(Time {
            median: number("/median/point_estimate")?,
            low: number("/median/confidence_interval/lower_bound")?,
            high: number("/median/confidence_interval/upper_bound")?,
            best: took.min_by(f64::total_cmp).with_context(|| format!("{}: no samples", path.display()))?,
        })
    }
}

/// Nanoseconds in a unit in which they are easy to read.
fn duration(nanoseconds: f64) -> String {
    if nanoseconds < 1e3 { format!("{nanoseconds:.0} ns") } else { format!("{:.2} µs", nanoseconds / 1e3) }
}

fn interval(Time { median, low, high, best }: Time) -> String {
    format!("{} ({} to {}), best {}", duration(median), duration(low), duration(high), duration(best))
}

/// The first lines of a table.
fn head<'a>(results: &mut String, titles: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
    for title in titles.clone() {
        write!(results, "| {title} ")?;
    }
    results.push_str("|\n");
    titles.for_each(|_| results.push_str("| --- "));
    results.push_str("|\n");
    Ok(())
}

fn row(results: &mut String, name: &str, cells: impl Iterator<Item = Result<String>>) -> Result<()> {
    write!(results, "| {name} ")?;
    for cell in cells {
        write!(results, "| {} ", cell?)?;
    }
    results.push_str("|\n");
    Ok(())
}

/// The places that our stack is measured in: the part of the group's name, and how a reader calls it.
const PLACES: [(&str, &str); 2] = [("threads", "two threads"), ("processes", "two processes")];
/// The same for RPMsg-Lite.
const PEER_PLACES: [(&str, &str); 2] =
    [("threads, RPMsg-Lite", "two threads, RPMsg-Lite"), ("processes, RPMsg-Lite", "two processes, RPMsg-Lite")];

fn messages(results: &mut String, measured: &Measured, peer: Result<(), &str>) -> Result<()> {
    let sizes = PAYLOADS.map(|len| format!("{len} B"));
    results.push_str("Messages, both ends polling; median, its 95 % interval, and the fastest of 50 samples:\n\n");
    head(results, ["payload"].into_iter().chain(sizes.iter().map(String::as_str)))?;
    let word = measured.time("round-trip/one word", None)?;
    let name = "one word there and back between two threads, without a ring";
    row(results, name, PAYLOADS.iter().map(|_| Ok(interval(word))))?;
    let round_trip = |place: &str, len| measured.time(&format!("round-trip/{place}"), Some(len)).map(interval);
    let name = "there and back, both ends in one thread";
    row(results, name, PAYLOADS.iter().map(|len| round_trip("one thread", *len)))?;
    let places = || PLACES.into_iter().chain(PEER_PLACES.into_iter().filter(|_| peer.is_ok()));
    for (place, name) in places() {
        let name = format!("there and back, {name}");
        row(results, &name, PAYLOADS.iter().map(|len| round_trip(place, *len)))?;
    }
    for (place, name) in places() {
        let one_way = |len: usize| measured.time(&format!("one-way/{place}"), Some(len));
        let name = format!("one way, {name}");
        row(results, &name, PAYLOADS.iter().map(|len| one_way(*len).map(interval)))?;
        let rate = |time: Time| format!("{:.2} million, best {:.2}", 1e3 / time.median, 1e3 / time.best);
        row(results, "messages per second", PAYLOADS.iter().map(|len| one_way(*len).map(rate)))?;
    }
    results.push('\n');
    if let Err(why) = peer {
        write!(results, "RPMsg-Lite: not measured ({why}).\n\n")?;
    }
    Ok(())
}

fn bulk(results: &mut String, measured: &Measured) -> Result<()> {
    results.push_str(
        "Bulk payloads; throughput of the fastest of 50 samples, and its part of what plain copies of the same size reach:\n\n",
    );
    let titles = ["payload", "memcpy", "write", "read", "memcpy twice", "write and read"];
    head(results, titles.into_iter())?;
    for (len, name) in BULK_PAYLOADS {
        let time = |what: &str| Ok::<f64, anyhow::Error>(measured.time(&format!("bulk/{what}"), Some(len))?.best);
        let (one, two) = (time("memcpy")?, time("two memcpy")?);
        let rate = |nanoseconds: f64| format!("{:.1} GB/s", len as f64 / nanoseconds);
        let against =
            |what: &str, plain: f64| time(what).map(|took| format!("{}, {:.0} %", rate(took), 100.0 * plain / took));
        let cells =
            [Ok(rate(one)), against("write", one), against("read", one), Ok(rate(two)), against("write and read", two)];
        row(results, name, cells.into_iter())?;
    }
    results.push('\n');
    Ok(())
}

fn instructions(results: &mut String) -> Result<()> {
    if !setup::has_emulator() {
        results.push_str("Instructions: not counted, because the emulator is missing (`cargo xtask setup` helps).\n\n");
        return Ok(());
    }
    let costs = coracle_bench::instructions().map_err(anyhow::Error::msg)?;
    results.push_str("Instructions on a Cortex-M4, remote role, counted by QEMU; every run gives the same:\n\n");
    let sizes = PAYLOADS.map(|len| format!("{len} B"));
    head(results, ["operation"].into_iter().chain(sizes.iter().map(String::as_str)))?;
    let mut names: Vec<&str> = Vec::new();
    for cost in &costs {
        if !names.contains(&cost.operation.as_str()) {
            names.push(&cost.operation);
        }
    }
    for name in names {
        // What has no payload costs the same whatever its size.
        let cell = |len: usize| costs.iter().find(|c| c.operation == name && (c.payload == len || c.payload == 0));
        row(results, name, PAYLOADS.iter().map(|len| Ok(cell(*len).map_or(String::new(), count))))?;
    }
    results.push('\n');
    Ok(())
}

fn count(Cost { least, most, .. }: &Cost) -> String {
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}

/// Puts the results into the page, in place of the old ones.
fn save(root: &Path, page: Page, results: &str) -> Result<()> {
    let path = root.join(page.path);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = replaced(&text, page, results)
        .with_context(|| format!("{} has no line {:?} before a line {END:?}", path.display(), page.start))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn replaced(text: &str, page: Page, results: &str) -> Option<String> {
    let start = page.start;
    let (before, rest) = text.split_once(start)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{start}\n\n{}\n\n{END}{after}", results.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_replace_the_old_ones_and_nothing_else() {
        let start = IPC_PAGE.start;
        let page = format!("# Title\n{start}\nold\n{END}\nmore\n");
        let new = replaced(&page, IPC_PAGE, "new\n").unwrap();
        assert_eq!(new, format!("# Title\n{start}\n\nnew\n\n{END}\nmore\n"));
        assert_eq!(replaced(&new, IPC_PAGE, "new\n").unwrap(), new);
        assert!(replaced("# Title\n", IPC_PAGE, "new").is_none());
        assert!(replaced(&format!("{END}{start}"), IPC_PAGE, "new").is_none());
        assert!(replaced(&page, GUEST_PAGE, "new").is_none(), "another page's results");
    }

    #[test]
    fn our_stack_does_not_pass_for_rpmsg_lite() {
        assert!(is_ours(b"\x7fELF ... _ZN13coracle_rpmsg6device ..."));
        assert!(!is_ours(b"\x7fELF ... rpmsg_lite_master_init ..."));
    }

    #[test]
    fn the_pages_have_a_place_for_the_results() {
        for page in [IPC_PAGE, GUEST_PAGE] {
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page.path)).unwrap();
            assert!(replaced(&text, page, "").is_some(), "{}", page.path);
        }
    }

    #[test]
    fn times_are_read_from_what_the_benchmarks_leave() {
        let folder = tempfile::tempdir().unwrap();
        let measured = Measured(folder.path().to_owned());
        let at = folder.path().join("one-way_threads/16/new");
        fs::create_dir_all(&at).unwrap();
        assert!(measured.time("one-way/threads", Some(16)).is_err());
        let json =
            r#"{"median":{"confidence_interval":{"lower_bound":900.0,"upper_bound":1200.0},"point_estimate":1100.0}}"#;
        fs::write(at.join("estimates.json"), json).unwrap();
        assert!(measured.time("one-way/threads", Some(16)).is_err(), "no samples");
        fs::write(at.join("sample.json"), r#"{"iters":[10,20],"times":[9000.0,17000.0]}"#).unwrap();
        let time = measured.time("one-way/threads", Some(16)).unwrap();
        assert_eq!(interval(time), "1.10 µs (900 ns to 1.20 µs), best 850 ns");
        fs::write(at.join("estimates.json"), "{}").unwrap();
        assert!(measured.time("one-way/threads", Some(16)).is_err());
    }
}
