//! The binary against a stand-in for the M core that listens on the socket, asks, and is reset.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use coracle_board_api::sensor_wire::{Block, CREDIT, Decoder};

const SAMPLES: usize = 5000;

fn feed(directory: &Path, extra: &[&str]) -> Child {
    let trace = directory.join("trace.csv");
    let lines: String = (0..SAMPLES).map(|i| format!("{i}\n")).collect();
    std::fs::write(&trace, lines).unwrap();
    Command::new(env!("CARGO_BIN_EXE_coracle-sensor-feed"))
        .arg("--socket")
        .arg(directory.join("sensor.sock"))
        .arg("--trace")
        .arg(trace)
        .args(["--rate", "12000"])
        .args(extra)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

struct Core {
    stream: UnixStream,
    decoder: Decoder,
}

impl Core {
    fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, decoder: Decoder::new() }
    }

    fn ask(&mut self) -> Block {
        self.stream.write_all(&[CREDIT]).unwrap();
        loop {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("a block for the credit");
            if let Some(block) = self.decoder.push(byte[0]) {
                return block.clone();
            }
        }
    }
}

#[test]
fn a_reset_of_the_core_loses_nothing_in_virtual_time() {
    let directory = tempfile::tempdir().unwrap();
    // The feed starts before the core.
    let child = feed(directory.path(), &[]);
    let socket = directory.path().join("sensor.sock");
    let mut samples: Vec<i16> = Vec::new();

    let listener = UnixListener::bind(&socket).unwrap();
    let mut core = Core::accept(&listener);
    core.stream.write_all(&[0xFF, 0]).unwrap();
    for _ in 0..3 {
        samples.extend(core.ask().samples());
    }
    // Reset after block 2 was taken and before it was asked for more: it comes again.
    // The listener goes first, or the feed could still connect to it.
    drop(listener);
    std::fs::remove_file(&socket).unwrap();
    drop(core);
    samples.truncate(2 * 512);

    let listener = UnixListener::bind(&socket).unwrap();
    let mut core = Core::accept(&listener);
    let mut sequence = 2;
    loop {
        let block = core.ask();
        assert_eq!((block.sequence, block.dropped, block.rate_hz), (sequence, 0, 12_000));
        let first_sample = if block.end { SAMPLES as u64 } else { u64::from(sequence) * 512 };
        assert_eq!(block.timestamp_us, first_sample * 1_000_000 / 12_000);
        sequence += 1;
        samples.extend(block.samples());
        if block.end {
            break;
        }
    }
    assert_eq!(samples, (0..SAMPLES as i16).collect::<Vec<_>>());
    // Asking on says that the end was taken: the feed is done, although the connection is still there.
    core.stream.write_all(&[1]).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(text, "sensor feed: 10 blocks, 0 samples dropped, 2 connections, 2 stray bytes\n");
}

#[test]
fn real_time_takes_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("sensor.sock")).unwrap();
    let start = std::time::Instant::now();
    let child = feed(directory.path(), &["--realtime"]);
    let mut core = Core::accept(&listener);
    let mut taken = 0;
    let dropped = loop {
        let block = core.ask();
        taken += block.samples().len();
        if block.end {
            break block.dropped as usize;
        }
    };
    // A loaded machine may be late and lose samples, never early.
    assert!(start.elapsed() >= Duration::from_micros(416_666));
    assert_eq!(taken + dropped, SAMPLES);
    drop((core, listener));
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn a_bad_trace_is_named_before_anything_is_connected() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("bad.csv");
    std::fs::write(&trace, "1\n2\nthree\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_coracle-sensor-feed"))
        .args(["--socket", "/nonexistent/socket", "--rate", "12000", "--trace"])
        .arg(&trace)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    let expected = format!("sensor feed: trace {}: line 3: `three` is not a number;", trace.display());
    assert!(text.starts_with(&expected), "{text}");
}
