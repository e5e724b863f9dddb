//! The meaning of every host call, over a guest's memory and the [`Services`] of the core it runs on.
//!
//! A call is pure: what it changes outside the guest's memory it hands to [`Services`] as an effect, and the supervisor
//! acts on the effects after the event. So a container can be stopped, captured or thrown away between events without
//! any call half done.

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

use crate::{
    BLOCK_SAMPLES_MAX, BlockHeader, CONFIG_ENTRIES_MAX, CONFIG_VALUE_BYTES_MAX, Call, Errno, EventKind, GRANTS_MAX,
    GrantKind, LOG_BYTES_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, WAKE_BYTES_MAX,
};

/// A container, topic, sensor or reason name.
pub type Name = String<NAME_BYTES_MAX>;

/// What the manifest gives a container: its grants and its configuration. Travels with a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grants {
    /// Sensors whose blocks arrive as events; the index is the handle.
    pub sensors: Vec<Name, GRANTS_MAX>,
    /// Topics it may publish.
    pub publish: Vec<Name, GRANTS_MAX>,
    /// Topics whose messages arrive as events; the index is the event's `source`.
    pub subscribe: Vec<Name, GRANTS_MAX>,
    /// Reasons for which it may wake the A core.
    pub wake: Vec<Name, GRANTS_MAX>,
    /// Configuration: key and value, both text.
    pub config: Vec<(Name, String<CONFIG_VALUE_BYTES_MAX>), CONFIG_ENTRIES_MAX>,
}

impl Grants {
    /// Whether imports of that kind are linked: at least one thing of the kind is granted.
    #[must_use]
    pub fn links(&self, kind: GrantKind) -> bool {
        match kind {
            GrantKind::Sensors => !self.sensors.is_empty(),
            GrantKind::Publish => !self.publish.is_empty(),
            GrantKind::Wake => !self.wake.is_empty(),
        }
    }
}

/// The event being handled, as the host calls see it.
#[derive(Debug, Clone, Copy)]
pub struct CurrentEvent<'a> {
    /// Its kind.
    pub kind: EventKind,
    /// Sensor handle or topic index; see [`EventKind`].
    pub source: u8,
    /// Time of the event in microseconds.
    pub time_us: u64,
    /// The payload. Of a sensor event: the encoded [`BlockHeader`], then the samples as little-endian `i16`.
    pub payload: &'a [u8],
}

/// What a guest asked for. The supervisor carries it out after the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect<'a> {
    /// A line for the log. Level: 1 error, 2 warning, 3 information, 4 debug.
    Log {
        /// 1 error, 2 warning, 3 information, 4 debug.
        level: u8,
        /// UTF-8 text; invalid bytes were refused.
        text: &'a str,
    },
    /// A message on a topic.
    Publish {
        /// One of [`Grants::publish`].
        topic: &'a str,
        /// At most [`MESSAGE_BYTES_MAX`] bytes.
        payload: &'a [u8],
    },
    /// A request for the A core.
    Wake {
        /// One of [`Grants::wake`].
        reason: &'a str,
        /// At most [`WAKE_BYTES_MAX`] bytes.
        payload: &'a [u8],
    },
}

/// What a core offers to the calls of one container.
pub trait Services {
    /// The container's grants and configuration.
    fn grants(&self) -> &Grants;
    /// The event being handled, or `None` during `init`.
    fn event(&self) -> Option<CurrentEvent<'_>>;
    /// The bit mask of opened sensor handles; part of the container's state.
    fn handles(&mut self) -> &mut u32;
    /// Takes an effect.
    ///
    /// # Errors
    /// [`Errno::Again`] when the event already caused as many effects as it may.
    fn effect(&mut self, effect: Effect<'_>) -> Result<(), Errno>;
    /// Counts a call that was refused for want of a grant.
    fn refused(&mut self);
}

/// Carries out `call` with its `i32` arguments (missing ones count as 0) and returns what the guest gets: for every
/// call but `time.now` a value that fits an `i32`.
pub fn dispatch(call: Call, args: &[i32], memory: &mut [u8], services: &mut impl Services) -> i64 {
    let result = match call {
        Call::LogWrite => log_write(args, memory, services),
        Call::ConfigGet => config_get(args, memory, services),
        Call::EventRead => event_read(args, memory, services),
        Call::TimeNow => return services.event().map_or(0, |e| e.time_us.cast_signed()),
        Call::SensorOpen => sensor_open(args, memory, services),
        Call::SensorReadBlock => sensor_read_block(args, memory, services),
        Call::MsgPublish => publish(args, memory, services),
        Call::WakeRequest => wake_request(args, memory, services),
    };
    if result == Err(Errno::Denied) {
        services.refused();
    }
    i64::from(result.unwrap_or_else(Errno::as_result))
}

fn arg(args: &[i32], n: usize) -> usize {
    // Guest addresses are unsigned 32-bit numbers in a signed carrier.
    args.get(n).map_or(0, |v| v.cast_unsigned() as usize)
}

fn range(memory_len: usize, ptr: usize, len: usize) -> Result<core::ops::Range<usize>, Errno> {
    let end = ptr.checked_add(len).filter(|end| *end <= memory_len).ok_or(Errno::Fault)?;
    Ok(ptr..end)
}

fn bytes(memory: &[u8], ptr: usize, len: usize) -> Result<&[u8], Errno> {
    memory.get(range(memory.len(), ptr, len)?).ok_or(Errno::Fault)
}

fn text(memory: &[u8], ptr: usize, len: usize) -> Result<&str, Errno> {
    core::str::from_utf8(bytes(memory, ptr, len)?).map_err(|_| Errno::Invalid)
}

fn count(n: usize) -> Result<i32, Errno> {
    i32::try_from(n).map_err(|_| Errno::TooLarge)
}

/// Copies as much of `data` as fits `cap` into the guest's buffer and returns the whole length, so that a guest sees
/// when its buffer was too small.
fn copy_out(memory: &mut [u8], ptr: usize, cap: usize, data: &[u8]) -> Result<i32, Errno> {
    let n = data.len().min(cap);
    let at = range(memory.len(), ptr, n)?;
    if let (Some(to), Some(from)) = (memory.get_mut(at), data.get(..n)) {
        to.copy_from_slice(from);
    }
    count(data.len())
}

fn log_write(args: &[i32], memory: &[u8], services: &mut impl Services) -> Result<i32, Errno> {
    let level = u8::try_from(arg(args, 0)).ok().filter(|l| (1..=4).contains(l)).ok_or(Errno::Invalid)?;
    let whole = text(memory, arg(args, 1), arg(args, 2))?;
    let cut = (0..=whole.len().min(LOG_BYTES_MAX)).rev().find(|n| whole.is_char_boundary(*n)).unwrap_or(0);
    services.effect(Effect::Log { level, text: whole.get(..cut).unwrap_or("") })?;
    Ok(0)
}

fn config_get(args: &[i32], memory: &mut [u8], services: &impl Services) -> Result<i32, Errno> {
    let key = text(memory, arg(args, 0), arg(args, 1))?;
    let value = services.grants().config.iter().find(|(k, _)| k == key).map(|(_, v)| v).ok_or(Errno::NoEntry)?;
    copy_out(memory, arg(args, 2), arg(args, 3), value.as_bytes())
}

fn event_read(args: &[i32], memory: &mut [u8], services: &impl Services) -> Result<i32, Errno> {
    let event = services.event().ok_or(Errno::Again)?;
    copy_out(memory, arg(args, 0), arg(args, 1), event.payload)
}

fn sensor_open(args: &[i32], memory: &[u8], services: &mut impl Services) -> Result<i32, Errno> {
    let name = text(memory, arg(args, 0), arg(args, 1))?;
    let handle = services.grants().sensors.iter().position(|s| s == name).ok_or(Errno::Denied)?;
    *services.handles() |= 1 << handle;
    count(handle)
}

fn sensor_read_block(args: &[i32], memory: &mut [u8], services: &mut impl Services) -> Result<i32, Errno> {
    let handle = arg(args, 0);
    if handle >= GRANTS_MAX || *services.handles() & (1 << handle) == 0 {
        return Err(Errno::BadHandle);
    }
    let event = services.event().ok_or(Errno::Again)?;
    if event.kind != EventKind::Sensor || usize::from(event.source) != handle {
        return Err(Errno::Again);
    }
    let header = event.payload.get(..BlockHeader::BYTES).ok_or(Errno::Invalid)?;
    let samples = event.payload.get(BlockHeader::BYTES..).ok_or(Errno::Invalid)?;
    let n = arg(args, 3).min(samples.len() / 2).min(BLOCK_SAMPLES_MAX);
    // Both places are checked before either is written: a refused call leaves the guest's memory as it was.
    let samples_at = range(memory.len(), arg(args, 2), n * 2)?;
    let header_at = range(memory.len(), arg(args, 1), BlockHeader::BYTES)?;
    if let Some(to) = memory.get_mut(header_at) {
        to.copy_from_slice(header);
    }
    if let (Some(to), Some(from)) = (memory.get_mut(samples_at), samples.get(..n * 2)) {
        to.copy_from_slice(from);
    }
    count(n)
}

fn publish(args: &[i32], memory: &[u8], services: &mut impl Services) -> Result<i32, Errno> {
    let topic = text(memory, arg(args, 0), arg(args, 1))?;
    let payload = bytes(memory, arg(args, 2), arg(args, 3))?;
    if !services.grants().publish.iter().any(|t| t == topic) {
        return Err(Errno::Denied);
    }
    if payload.len() > MESSAGE_BYTES_MAX {
        return Err(Errno::TooLarge);
    }
    services.effect(Effect::Publish { topic, payload })?;
    Ok(0)
}

fn wake_request(args: &[i32], memory: &[u8], services: &mut impl Services) -> Result<i32, Errno> {
    let reason = text(memory, arg(args, 0), arg(args, 1))?;
    let payload = bytes(memory, arg(args, 2), arg(args, 3))?;
    if !services.grants().wake.iter().any(|r| r == reason) {
        return Err(Errno::Denied);
    }
    if payload.len() > WAKE_BYTES_MAX {
        return Err(Errno::TooLarge);
    }
    services.effect(Effect::Wake { reason, payload })?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::{String as StdString, ToString};
    use std::vec::Vec as StdVec;

    use super::*;

    #[derive(Default)]
    struct Fake {
        grants: Grants,
        event: Option<(EventKind, u8, StdVec<u8>)>,
        handles: u32,
        effects: StdVec<StdString>,
        refused: u32,
    }

    impl Services for Fake {
        fn grants(&self) -> &Grants {
            &self.grants
        }
        fn event(&self) -> Option<CurrentEvent<'_>> {
            self.event.as_ref().map(|(kind, source, payload)| CurrentEvent {
                kind: *kind,
                source: *source,
                time_us: 42,
                payload,
            })
        }
        fn handles(&mut self) -> &mut u32 {
            &mut self.handles
        }
        fn effect(&mut self, effect: Effect<'_>) -> Result<(), Errno> {
            self.effects.push(std::format!("{effect:?}"));
            Ok(())
        }
        fn refused(&mut self) {
            self.refused += 1;
        }
    }

    fn name(s: &str) -> Name {
        Name::try_from(s).unwrap()
    }

    #[test]
    fn every_call_refuses_pointers_outside_memory() {
        let mut fake = Fake { handles: 1, ..Fake::default() };
        fake.grants.sensors.push(name("s")).unwrap();
        fake.grants.publish.push(name("t")).unwrap();
        fake.event = Some((EventKind::Sensor, 0, [0; 24 + 8].to_vec()));
        for ptr in [63, 64, -1, i32::MAX, i32::MIN] {
            for (call, args) in [
                (Call::LogWrite, [3, ptr, 2, 0]),
                (Call::ConfigGet, [ptr, 2, 0, 0]),
                (Call::EventRead, [ptr, 2, 0, 0]),
                (Call::SensorOpen, [ptr, 2, 0, 0]),
                (Call::SensorReadBlock, [0, ptr, 0, 4]),
                (Call::SensorReadBlock, [0, 0, ptr, 4]),
                (Call::MsgPublish, [ptr, 2, 0, 0]),
                (Call::MsgPublish, [0, 1, ptr, 2]),
                (Call::WakeRequest, [ptr, 2, 0, 0]),
            ] {
                let mut memory = [b't'; 64];
                let got = dispatch(call, &args, &mut memory, &mut fake);
                assert_eq!(got, i64::from(Errno::Fault.as_result()), "{call:?} {args:?}");
                assert_eq!(memory, [b't'; 64], "{call:?} {args:?} wrote before it checked");
            }
        }
        assert!(fake.effects.is_empty());
    }

    #[test]
    fn publish_needs_its_topic_granted_and_counts_refusals() {
        let mut fake = Fake::default();
        fake.grants.publish.push(name("a/b")).unwrap();
        let mut memory = *b"a/ba/cxyz";
        assert_eq!(dispatch(Call::MsgPublish, &[0, 3, 6, 3], &mut memory, &mut fake), 0);
        assert_eq!(dispatch(Call::MsgPublish, &[3, 3, 6, 3], &mut memory, &mut fake), -13);
        assert_eq!(fake.refused, 1);
        assert_eq!(fake.effects, [std::format!("{:?}", Effect::Publish { topic: "a/b", payload: b"xyz" })]);
    }

    #[test]
    fn sensor_blocks_need_an_opened_handle_and_the_right_event() {
        let mut fake = Fake::default();
        fake.grants.sensors.push(name("accel0")).unwrap();
        let header = BlockHeader { timestamp_us: 9, sequence: 1, rate_hz: 12_000, dropped: 0, count: 2 };
        let mut payload = header.to_bytes().to_vec();
        payload.extend([1, 0, 255, 255]);
        fake.event = Some((EventKind::Sensor, 0, payload));
        let mut memory = [0; 64];
        memory[..6].copy_from_slice(b"accel0");
        let read = [0, 8, 40, 100];
        assert_eq!(dispatch(Call::SensorReadBlock, &read, &mut memory, &mut fake), -9);
        assert_eq!(dispatch(Call::SensorOpen, &[0, 6], &mut memory, &mut fake), 0);
        assert_eq!(dispatch(Call::SensorReadBlock, &read, &mut memory, &mut fake), 2);
        assert_eq!(BlockHeader::from_bytes(&memory[8..32]), Some(header));
        assert_eq!(memory[40..44], [1, 0, 255, 255]);
        assert_eq!(dispatch(Call::SensorReadBlock, &[32, 8, 40, 2], &mut memory, &mut fake), -9);
        fake.event = Some((EventKind::Message, 0, StdVec::new()));
        assert_eq!(dispatch(Call::SensorReadBlock, &read, &mut memory, &mut fake), -11);
    }

    #[test]
    fn config_values_are_cut_to_the_buffer_but_report_their_length() {
        let mut fake = Fake::default();
        let _ = fake.grants.config.push((name("k"), "12345".try_into().unwrap()));
        let mut memory = *b"k.......";
        assert_eq!(dispatch(Call::ConfigGet, &[0, 1, 1, 3], &mut memory, &mut fake), 5);
        assert_eq!(&memory, b"k123....");
        assert_eq!(dispatch(Call::ConfigGet, &[1, 1, 1, 3], &mut memory, &mut fake), -2);
    }

    #[test]
    fn long_log_lines_are_cut_at_a_character() {
        let mut fake = Fake::default();
        let mut memory = "é".repeat(100).into_bytes();
        memory.insert(0, b'x');
        let len = memory.len() as i32;
        assert_eq!(dispatch(Call::LogWrite, &[3, 0, len], &mut memory, &mut fake), 0);
        assert_eq!(fake.effects.len(), 1);
        assert!(fake.effects[0].contains(&"é".repeat(79)), "{}", fake.effects[0].to_string());
        assert!(!fake.effects[0].contains(&"é".repeat(80)));
        assert_eq!(dispatch(Call::LogWrite, &[9, 0, 1], &mut memory, &mut fake), -22);
    }
}
