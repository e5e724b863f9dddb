//! Calls of containers to devices: to this core's first, then to M's.

use std::collections::BTreeMap;

use coracle_container::{DeviceAnswer, DeviceCall};
use coracle_guest_abi::{Errno, Name};
use coracle_wire as wire;

/// Longest that M may take to answer, in microseconds: a bus transfer takes milliseconds, a busy link less than a second.
pub(crate) const REMOTE_ANSWER_US_MAX: u64 = 2_000_000;

/// A call that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) name: Name,
    pub(crate) call: DeviceCall,
    /// M was asked and has until then, in microseconds.
    remote_until_us: Option<u64>,
}

/// The calls that wait: at most one of a container.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    last: u32,
    waits: BTreeMap<u32, Waiting>,
}

impl Waits {
    /// Takes a call; returns its number.
    pub(crate) fn begin(&mut self, name: Name, call: DeviceCall) -> u32 {
        self.end_of(&name);
        self.last = self.last.wrapping_add(1);
        self.waits.insert(self.last, Waiting { name, call, remote_until_us: None });
        self.last
    }

    /// This core answered: who gets the answer, unless M is to be asked. `None` when nobody waits any more.
    pub(crate) fn local_answer(&mut self, token: u32) -> Option<Waiting> {
        self.waits.get(&token).filter(|w| w.remote_until_us.is_none())?;
        self.waits.remove(&token)
    }

    /// M is asked with the same number.
    pub(crate) fn ask_remote(&mut self, token: u32, wait: Waiting, now_us: u64) {
        let remote_until_us = Some(now_us.saturating_add(REMOTE_ANSWER_US_MAX));
        self.waits.insert(token, Waiting { remote_until_us, ..wait });
    }

    /// M answered: who gets the answer. `None` when M was not asked, or nobody waits any more.
    pub(crate) fn remote_answer(&mut self, token: u32) -> Option<Waiting> {
        self.waits.get(&token).filter(|w| w.remote_until_us.is_some())?;
        self.waits.remove(&token)
    }

    /// Those whom M does not answer: until then, or at all when the time is `None`.
    pub(crate) fn give_up(&mut self, now_us: Option<u64>) -> Vec<Waiting> {
        let over = |w: &Waiting| w.remote_until_us.is_some_and(|until| now_us.is_none_or(|now| until <= now));
        let tokens: Vec<u32> = self.waits.iter().filter(|(_, w)| over(w)).map(|(token, _)| *token).collect();
        tokens.iter().filter_map(|token| self.waits.remove(token)).collect()
    }

    /// When [`Waits::give_up`] has to be asked, in microseconds.
    pub(crate) fn deadline_us(&self) -> Option<u64> {
        self.waits.values().filter_map(|w| w.remote_until_us).min()
    }

    /// The container ended or went away.
    pub(crate) fn end_of(&mut self, name: &Name) {
        self.waits.retain(|_, w| w.name != *name);
    }
}

/// A call as it crosses the link. [`Errno::NoEntry`]: only this core could do it.
pub(crate) fn to_wire(call: &DeviceCall) -> Result<wire::DeviceCall, Errno> {
    let bytes = |b: &[u8]| heapless::Vec::from_slice(b).map_err(|_| Errno::TooLarge);
    Ok(match call {
        DeviceCall::PinRead { label } => wire::DeviceCall::PinRead { label: label.clone() },
        DeviceCall::PinWrite { label, high } => wire::DeviceCall::PinWrite { label: label.clone(), high: *high },
        // Its edges would have to cross too.
        DeviceCall::PinWatch { .. } => return Err(Errno::NoEntry),
        DeviceCall::I2c { bus, address, write, read } => {
            wire::DeviceCall::I2c { bus: bus.clone(), address: *address, write: bytes(write)?, read: *read }
        }
        DeviceCall::Spi { device, write, read } => {
            wire::DeviceCall::Spi { device: device.clone(), write: bytes(write)?, read: *read }
        }
        DeviceCall::SensorInfo { name } => wire::DeviceCall::SensorInfo { name: name.clone() },
    })
}

/// An answer from the link.
pub(crate) fn from_wire(answer: wire::DeviceAnswer) -> DeviceAnswer {
    match answer {
        wire::DeviceAnswer::Done => DeviceAnswer::Done,
        wire::DeviceAnswer::Level(high) => DeviceAnswer::Level(high),
        wire::DeviceAnswer::Bytes(bytes) => DeviceAnswer::Bytes(bytes.to_vec()),
        wire::DeviceAnswer::Info(info) => DeviceAnswer::Info(info),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::try_from(text).unwrap()
    }

    fn read(label: &str) -> DeviceCall {
        DeviceCall::PinRead { label: name(label) }
    }

    #[test]
    fn an_answer_reaches_who_asked_and_nobody_else() {
        let mut waits = Waits::default();
        let a = waits.begin(name("a"), read("x"));
        let b = waits.begin(name("b"), read("y"));
        assert_eq!(waits.remote_answer(a), None, "M was not asked");
        assert_eq!(waits.local_answer(b).unwrap().name, name("b"));
        assert_eq!(waits.local_answer(b), None, "once");
        // The container was replaced and asks anew: the answer to the old call is not for it.
        let again = waits.begin(name("a"), read("z"));
        assert_eq!(waits.local_answer(a), None);
        let wait = waits.local_answer(again).unwrap();
        waits.ask_remote(again, wait, 5);
        assert_eq!(waits.local_answer(again), None, "this core had its say");
        assert_eq!(waits.deadline_us(), Some(5 + REMOTE_ANSWER_US_MAX));
        assert_eq!(waits.remote_answer(again).unwrap().call, read("z"));
        assert_eq!(waits.deadline_us(), None);
    }

    #[test]
    fn m_has_its_time_and_not_more() {
        let mut waits = Waits::default();
        let local = waits.begin(name("a"), read("x"));
        let remote = waits.begin(name("b"), read("y"));
        let wait = waits.local_answer(remote).unwrap();
        waits.ask_remote(remote, wait, 0);
        assert!(waits.give_up(Some(REMOTE_ANSWER_US_MAX - 1)).is_empty());
        assert_eq!(waits.give_up(Some(REMOTE_ANSWER_US_MAX)).len(), 1);
        assert_eq!(waits.remote_answer(remote), None, "too late");
        assert!(waits.give_up(None).is_empty(), "this core's devices do not go with the link");
        assert!(waits.local_answer(local).is_some());
    }
}
