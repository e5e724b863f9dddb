//! `coracle-sensor-feed`: plays a trace to the M core's sensor socket. Arguments and printing only.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use coracle_board_api::sensor_wire::SAMPLES_MAX;
use coracle_sensor_feed::feed::{Feed, Pace};
use coracle_sensor_feed::socket;
use coracle_sensor_feed::trace::Trace;

/// Plays a recorded sensor trace to an M core, as fast as it asks for it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Unix socket on which the M core expects its sensor.
    #[arg(long)]
    socket: PathBuf,
    /// The trace: a 16-bit mono WAV file, or CSV with `sample` or `time,sample` in each line.
    #[arg(long)]
    trace: PathBuf,
    /// Keep to the trace's own speed; samples that the M core does not ask for in time are lost.
    #[arg(long)]
    realtime: bool,
    /// Samples per second of a CSV trace.
    #[arg(long, value_name = "HZ")]
    rate: Option<u32>,
    /// Samples in a block.
    #[arg(long, value_name = "SAMPLES", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=SAMPLES_MAX as i64))]
    block: u16,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match play(&arguments) {
        Ok(summary) => {
            eprintln!("sensor feed: {summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sensor feed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(arguments: &Arguments) -> Result<String, Box<dyn std::error::Error>> {
    let trace = Trace::read(&arguments.trace, arguments.rate)?;
    let pace = if arguments.realtime { Pace::Realtime } else { Pace::Virtual };
    let mut feed = Feed::new(trace, pace, usize::from(arguments.block));
    let report = socket::run(&mut feed, &arguments.socket)?;
    Ok(format!(
        "{} blocks, {} samples dropped, {} connections, {} stray bytes",
        feed.blocks_past(),
        feed.dropped(),
        report.connections,
        report.stray_bytes
    ))
}
