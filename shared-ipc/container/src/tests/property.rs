//! Any call with any arguments in any order. `CORACLE_SEED=n` repeats a run.

use std::{println, vec};

use coracle_guest_abi::{EFFECTS_PER_EVENT_MAX, Errno, IMPORTS, REQUESTS_MAX, SensorInfo};

use super::*;
use crate::{DeviceAnswer, EFFECT_BYTES_PER_EVENT_MAX, Waiting, request_payload};

const CALLS: usize = 300_000;
/// Bytes of memory that lie behind the guest's.
const GUARD: usize = 64;

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Mostly what leads somewhere: a small number, a place in memory, the end of it.
    fn argument(&mut self) -> u64 {
        match self.below(8) {
            0 => self.next(),
            1 => (MEMORY_BYTES as u64).wrapping_sub(self.below(64)),
            2 => self.below(MEMORY_BYTES as u64),
            3 => u64::MAX - self.below(300),
            4 => self.below(1000),
            _ => self.below(33),
        }
    }
}

/// Gives a parked call something, often not what it waits for.
fn go_on(rig: &mut Rig, random: &mut Random) {
    let bytes = |random: &mut Random| vec![7; random.below(300) as usize];
    match random.below(6) {
        0 => rig.host.notice(),
        1 => {
            let kind = EventKind::ALL[random.below(8) as usize];
            let body = bytes(random);
            let _ = rig.host.deliver(event(kind, random.below(9) as u8, &request_payload("x", &body)));
        }
        2 => {
            let read = match rig.host.waiting() {
                Some(Waiting::Device(crate::DeviceCall::I2c { read, .. } | crate::DeviceCall::Spi { read, .. })) => {
                    usize::from(*read)
                }
                _ => random.below(300) as usize,
            };
            let answer = match random.below(5) {
                0 => Ok(DeviceAnswer::Done),
                1 => Ok(DeviceAnswer::Level(true)),
                2 => Ok(DeviceAnswer::Bytes(vec![9; read])),
                3 => Ok(DeviceAnswer::Info(SensorInfo { rate_hz: random.next() as u32, ..SensorInfo::default() })),
                _ => Err(Errno::ALL[random.below(14) as usize]),
            };
            rig.host.answer(answer);
        }
        3 => rig.host.poll(),
        4 if random.below(100) == 0 => rig.host.set_now(random.argument()),
        4 => rig.host.set_now(rig.host.state.clock_us.saturating_add(random.below(1000))),
        _ => {}
    }
    let _ = rig.host.deadline_us();
}

#[test]
fn any_call_with_any_arguments_keeps_within_its_bounds() {
    const SEED: &str = "CORACLE_SEED";
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    println!("{SEED}={seed}");
    let mut random = Random(seed);
    let mut rig = Rig::open();
    rig.host.command = true;
    let (mut good, mut parked, mut due) = (0, 0, 0);
    for n in 0..CALLS {
        if n % 1024 == 0 {
            // A new container: the clock of an old one stands at the end of time, and its timers with it.
            rig = Rig::open();
        }
        if n % 64 == 0 {
            // A new event, with names and numbers in memory that lead further.
            rig.host.effects.clear();
            rig.host.event_done();
            rig.host.command = random.below(4) != 0;
            let kind = EventKind::ALL[random.below(8) as usize];
            let len = random.below(300) as usize;
            rig.host.event = Some(event(kind, random.below(3) as u8, &request_payload("asker", &vec![1; len])));
            for at in (0..MEMORY_BYTES - 32).step_by(32) {
                let words: [&[u8]; 9] = [
                    b"accel0",
                    b"led",
                    b"i2c1",
                    b"adc",
                    b"a/b",
                    b"in",
                    b"bearing",
                    b"limit",
                    &random.next().to_le_bytes(),
                ];
                let word = words[random.below(9) as usize];
                rig.memory[at..at + word.len()].copy_from_slice(word);
            }
        }
        let import = &IMPORTS[random.below(IMPORTS.len() as u64) as usize];
        let mut args = Args::default();
        for arg in &mut args.0 {
            *arg = random.argument();
        }
        if random.below(2) == 0 {
            // A name, as the first two arguments of many calls.
            args.0[0] = 32 * random.below(100);
            args.0[1] = [6, 3, 4, 5, 2, 7][random.below(6) as usize];
        }
        let mut memory = rig.memory.clone();
        memory.resize(MEMORY_BYTES + GUARD, 0x5A);
        let outcome = dispatch(import.call, &args, &mut memory[..MEMORY_BYTES], &mut rig.host);
        assert_eq!(memory[MEMORY_BYTES..], [0x5A; GUARD]);
        let unchanged = memory[..MEMORY_BYTES] == rig.memory;
        if n % 8 == 0 {
            rig.memory = memory[..MEMORY_BYTES].to_vec();
        }
        match outcome {
            Outcome::Return(value) => {
                let failed = if import.call.is_wasi() { value != 0 } else { value < 0 };
                good += usize::from(!failed);
                if failed {
                    assert!(unchanged, "{:?} failed and wrote", import.call);
                    let known = if import.call.is_wasi() {
                        (1..=76).contains(&value)
                    } else {
                        Errno::ALL.iter().any(|e| i64::from(e.as_result()) == value)
                    };
                    assert!(known || import.call == Call::TimeNow, "{:?} returns {value}", import.call);
                }
            }
            Outcome::Park => {
                parked += 1;
                assert!(rig.host.is_parked());
                for _ in 0..8 {
                    go_on(&mut rig, &mut random);
                    if rig.host.resume(&mut memory[..MEMORY_BYTES]).is_some() {
                        break;
                    }
                }
                assert_eq!(memory[MEMORY_BYTES..], [0x5A; GUARD]);
                if rig.host.is_parked() {
                    rig.host.abandon();
                }
            }
            Outcome::Exit(_) => assert_eq!(import.call, Call::WasiProcExit),
        }
        if random.below(16) == 0 {
            rig.host.set_now(rig.host.state.clock_us.saturating_add(random.below(1000)));
            due += core::iter::from_fn(|| rig.host.due()).take(100).count();
        }
        check(&rig);
    }
    assert!(good > CALLS / 50 && parked > 1000 && due > 1000, "{good} good, {parked} parked, {due} due: too tame");
}

fn check(rig: &Rig) {
    let h = &rig.host;
    let granted: u32 = [ACCEL, TEMP, BUTTON, LED, BUS, ADC].iter().fold(0, |all, h| all | 1 << h);
    assert_eq!(h.state.handles & !granted, 0, "a handle that nobody granted");
    assert!(h.kv.as_bytes().len() <= usize::from(h.spec.grants.kv));
    assert!(h.state.timers.iter().skip(usize::from(h.spec.limits.timers)).all(Option::is_none));
    assert!(h.state.requests.iter().flatten().count() <= REQUESTS_MAX);
    let counted = h.effects.iter().filter(|e| !matches!(e, OwnedEffect::Refused { .. }));
    assert!(counted.count() <= EFFECTS_PER_EVENT_MAX);
    let bytes = h.effects.iter().map(|e| match e {
        OwnedEffect::Publish { payload, .. }
        | OwnedEffect::Request { payload, .. }
        | OwnedEffect::Reply { payload, .. }
        | OwnedEffect::Wake { payload, .. } => payload.len(),
        OwnedEffect::Log { text, .. } => {
            assert!(text.len() <= 160);
            text.len()
        }
        _ => 0,
    });
    assert!(bytes.sum::<usize>() <= EFFECT_BYTES_PER_EVENT_MAX);
    for sensor in h.state.sensors.iter().take(1) {
        assert!(sensor.rate_hz <= 100, "over the granted rate");
    }
}
