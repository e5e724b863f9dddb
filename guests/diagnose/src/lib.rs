//! Names the fault in the window of samples that came with a wake, on the A core.
//!
//! Runs the int8 network of `coracle-vibration` once a wake, publishes what it says on [`bearing_watch::DIAGNOSIS_TOPIC`]
//! and logs one line. It keeps nothing between wakes. A window that it cannot use is a log line, never a guess.
//!
//! | configuration key | |
//! | --- | --- |
//! | `shaft_hz` | speed of the shaft, in Hz |
//! | `outer_race`, `inner_race`, `ball_spin`, `cage` | the bearing, as multiples of the shaft's speed: `coracle_vibration::features::Geometry` |
//!
//! All five are required.
#![cfg_attr(target_arch = "wasm32", no_std)]

use core::fmt::Write as _;

use bearing_watch::{DIAGNOSIS_TOPIC, WindowHeader};
use coracle_sdk::log::Level;
use coracle_sdk::{Errno, Event, Guest, Line, config, event, guest, log, msg};
use coracle_vibration::features::{self, Geometry, Machine, MachineError};
use coracle_vibration::net::{Class, Diagnosis, Network};
use coracle_vibration::{SAMPLE_RATE_HZ, WINDOW_SAMPLES};
use static_cell::ConstStaticCell;

/// Made by `manifests/examples/bearing-watch/train`.
static WEIGHTS: &[u8] = include_bytes!("../../../manifests/examples/bearing-watch/weights.bin");

/// Length of the only payload that can be diagnosed.
const PAYLOAD_BYTES: usize = WindowHeader::BYTES + size_of::<[i16; WINDOW_SAMPLES]>();

/// Where the payload of a wake is read to.
static PAYLOAD: ConstStaticCell<[u8; PAYLOAD_BYTES]> = ConstStaticCell::new([0; PAYLOAD_BYTES]);

/// The container.
pub struct Diagnose {
    machine: Machine,
    network: Network<'static>,
    payload: &'static mut [u8; PAYLOAD_BYTES],
}

impl Guest for Diagnose {
    fn init() -> Result<Self, Errno> {
        let machine = machine()?;
        let network = Network::load(WEIGHTS).map_err(|error| {
            log!(Level::Error, "the weights in this module cannot be used: {error:?}; train again");
            Errno::Invalid
        })?;
        let payload = PAYLOAD.try_take().ok_or(Errno::Invalid)?;
        Ok(Self { machine, network, payload })
    }

    fn on_event(&mut self, event: Event) -> Result<(), Errno> {
        let Event::Wake { len } = event else { return Ok(()) };
        let payload = match event::read(self.payload.as_mut_slice()) {
            Err(Errno::TooLarge) => &[][..],
            read => read?,
        };
        match window(payload) {
            Ok((header, samples)) => {
                let diagnosis = self.network.diagnose(&features::extract(&samples, &self.machine));
                log!(Level::Info, "fault: {} (window at {} us)", diagnosis.class.name(), header.time_us);
                msg::publish(DIAGNOSIS_TOPIC, text(&diagnosis).as_str().as_bytes())
            }
            Err(problem) => {
                log!(Level::Error, "no diagnosis from {len} bytes: {problem}");
                Ok(())
            }
        }
    }
}

/// The samples in a wake's payload, or what is wrong with it.
fn window(payload: &[u8]) -> Result<(WindowHeader, [i16; WINDOW_SAMPLES]), &'static str> {
    let (header, bytes) = WindowHeader::split(payload).ok_or("not a header and as many samples as it says")?;
    let (words, _) = bytes.as_chunks::<2>();
    let words: &[[u8; 2]; WINDOW_SAMPLES] = words.try_into().map_err(|_| "the network needs 2048 samples")?;
    if header.rate_hz != SAMPLE_RATE_HZ {
        return Err("the network needs 12000 samples a second");
    }
    Ok((header, words.map(i16::from_le_bytes)))
}

/// The message: the class alone in the first line, all scores in the second.
fn text(diagnosis: &Diagnosis) -> Line {
    let mut text = Line::new();
    // A `Line` takes everything.
    let _ = writeln!(text, "{}", diagnosis.class.name());
    for (class, score) in Class::ALL.iter().zip(diagnosis.scores) {
        let separator = if *class == Class::Normal { "" } else { ", " };
        let _ = write!(text, "{separator}{} {score}", class.name());
    }
    text
}

/// The machine from the container's configuration.
fn machine() -> Result<Machine, Errno> {
    let geometry = Geometry {
        outer_race: number("outer_race")?,
        inner_race: number("inner_race")?,
        ball_spin: number("ball_spin")?,
        cage: number("cage")?,
    };
    Machine::new(number("shaft_hz")?, geometry).map_err(|error| {
        log::error(match error {
            MachineError::ShaftSpeed => "config: shaft_hz is outside 20 to 60",
            MachineError::Geometry => "config: outer_race, inner_race, ball_spin and cage fit no bearing",
            MachineError::Ambiguous => "config: twice ball_spin is too close to a race to be told apart",
        });
        Errno::Invalid
    })
}

fn number(key: &str) -> Result<f32, Errno> {
    config::get_f32(key).inspect_err(|errno| {
        let problem = if *errno == Errno::NoEntry { "is missing" } else { "is no number" };
        log!(Level::Error, "config: {key} {problem}");
    })
}

guest!(Diagnose);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_the_first_line() {
        let text = text(&Diagnosis { class: Class::OuterRace, scores: [-128, 5, 104, -128] });
        assert_eq!(text.as_str(), "outer race\nnormal -128, inner race 5, outer race 104, ball -128");
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let payload = |rate_hz, samples: u32| {
            let mut payload = WindowHeader { time_us: 7, rate_hz, samples }.to_bytes().to_vec();
            payload.extend((0..samples).flat_map(|i| (i as i16).to_le_bytes()));
            payload
        };
        let (header, samples) = window(&payload(12_000, 2048)).unwrap();
        assert_eq!((header.time_us, samples[0], samples[2047]), (7, 0, 2047));
        assert_eq!(window(&payload(12_000, 2047)).err(), Some("the network needs 2048 samples"));
        assert_eq!(window(&payload(48_000, 2048)).err(), Some("the network needs 12000 samples a second"));
        assert!(window(&payload(12_000, 2048)[..4000]).is_err());
        assert!(window(&[]).is_err());
    }
}
