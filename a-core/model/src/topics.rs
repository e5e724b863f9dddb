//! Topics as the A core knows them: retained values, and messages that M has not taken yet.

use std::collections::{BTreeMap, VecDeque};

use coracle_container::Payload;
use coracle_guest_abi::Name;
use coracle_wire::ToM;

/// Topics that have a retained value.
pub(crate) const RETAINED_TOPICS_MAX: usize = 32;
/// Messages that wait until M has taken them.
pub(crate) const UNTAKEN_MAX: usize = 64;

/// The retained values, of whoever published them.
#[derive(Debug, Default)]
pub(crate) struct Retained(BTreeMap<Name, Value>);

#[derive(Debug)]
struct Value {
    /// Empty: it was removed here, and M does not know yet.
    payload: Payload,
    /// It was published here.
    ours: bool,
    told: bool,
}

impl Retained {
    /// Keeps a value; an empty one removes it. False when there is no room.
    pub(crate) fn set(&mut self, topic: &Name, payload: Payload, ours: bool) -> bool {
        if payload.is_empty() && !ours {
            self.0.remove(topic);
            return true;
        }
        if self.0.len() >= RETAINED_TOPICS_MAX && !self.0.contains_key(topic) {
            return payload.is_empty();
        }
        self.0.insert(topic.clone(), Value { payload, ours, told: false });
        true
    }

    /// The value of a topic.
    pub(crate) fn get(&self, topic: &str) -> Option<&Payload> {
        self.0.get(topic).map(|v| &v.payload).filter(|p| !p.is_empty())
    }

    /// What M has to be told: values that were published here.
    pub(crate) fn untold(&mut self) -> Vec<ToM> {
        let mut messages = Vec::new();
        for (topic, value) in self.0.iter_mut().filter(|(_, v)| v.ours && !v.told) {
            value.told = true;
            // The limits of the interface are within those of the message.
            if let Ok(payload) = heapless::Vec::from_slice(&value.payload) {
                messages.push(ToM::Retain { topic: topic.clone(), payload });
            }
        }
        self.0.retain(|_, v| !v.payload.is_empty());
        messages
    }

    /// A session ended: M, which may be reset, is told again in the next one.
    pub(crate) fn session_ended(&mut self) {
        for value in self.0.values_mut() {
            value.told = false;
        }
    }
}

/// Messages that were published here for subscribers that M serves, until M has taken them. They are numbered, so M
/// knows a repeat.
#[derive(Debug)]
pub(crate) struct Untaken {
    epoch: u32,
    last: u32,
    /// How many of them were sent in this session.
    sent: usize,
    messages: VecDeque<(u32, ToM)>,
}

impl Untaken {
    pub(crate) fn new(epoch: u32) -> Self {
        Self { epoch, last: 0, sent: 0, messages: VecDeque::new() }
    }

    /// Keeps a message, which `make` makes of the epoch and its number. False when too many wait, or the numbers of this
    /// life are used up: M would take smaller ones for repeats.
    pub(crate) fn push(&mut self, make: impl FnOnce(u32, u32) -> ToM) -> bool {
        let number = self.last.checked_add(1).filter(|_| self.messages.len() < UNTAKEN_MAX);
        let Some(number) = number else { return false };
        self.last = number;
        self.messages.push_back((self.last, make(self.epoch, self.last)));
        true
    }

    /// M has taken everything up to that number.
    pub(crate) fn taken(&mut self, epoch: u32, number: u32) {
        if epoch != self.epoch {
            return;
        }
        while self.messages.front().is_some_and(|(n, _)| *n <= number) {
            self.messages.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
    }

    /// The next one that has to be sent in this session.
    pub(crate) fn next_to_send(&mut self) -> Option<ToM> {
        let (_, message) = self.messages.get(self.sent)?;
        self.sent += 1;
        Some(message.clone())
    }

    /// A session ended: what M has not taken is sent again in the next one.
    pub(crate) fn session_ended(&mut self) {
        self.sent = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::try_from(text).unwrap()
    }

    fn payload(text: &str) -> Payload {
        text.as_bytes().to_vec().into()
    }

    fn retain(topic: &str, payload: &[u8]) -> ToM {
        ToM::Retain { topic: name(topic), payload: heapless::Vec::from_slice(payload).unwrap() }
    }

    #[test]
    fn a_retained_value_is_there_until_it_is_removed() {
        let mut retained = Retained::default();
        assert!(retained.set(&name("a"), payload("1"), true));
        assert!(retained.set(&name("b"), payload("2"), false));
        assert_eq!(retained.get("a"), Some(&payload("1")));
        assert_eq!(retained.untold(), [retain("a", b"1")]);
        assert_eq!(retained.untold(), [], "once a session");
        retained.session_ended();
        assert_eq!(retained.untold(), [retain("a", b"1")]);
        // M's word on a topic replaces ours, and is not ours to repeat.
        assert!(retained.set(&name("a"), payload("3"), false));
        assert_eq!(retained.untold(), []);
        assert_eq!(retained.get("a"), Some(&payload("3")));
        assert!(retained.set(&name("a"), payload(""), true));
        assert_eq!(retained.get("a"), None);
        // Removed while M could not be told.
        assert_eq!(retained.untold(), [retain("a", b"")]);
        retained.session_ended();
        assert_eq!(retained.untold(), []);
        assert!(retained.set(&name("b"), payload(""), false));
        assert_eq!(retained.0.len(), 0);
    }

    #[test]
    fn retained_values_are_bounded() {
        let mut retained = Retained::default();
        for i in 0..RETAINED_TOPICS_MAX {
            assert!(retained.set(&name(&format!("t{i}")), payload("x"), i % 2 == 0));
        }
        assert!(!retained.set(&name("more"), payload("x"), true));
        assert!(retained.set(&name("t3"), payload("y"), true), "one that is there can change");
        assert_eq!(retained.0.len(), RETAINED_TOPICS_MAX);
    }

    fn number(message: ToM) -> u32 {
        let ToM::Publish { number, epoch: 9, .. } = message else { panic!("{message:?}") };
        number
    }

    fn publish(epoch: u32, number: u32) -> ToM {
        ToM::Publish { epoch, number, topic: name("t"), time_us: 0, request: None, payload: heapless::Vec::new() }
    }

    #[test]
    fn what_m_has_not_taken_is_sent_again_with_its_number() {
        let mut untaken = Untaken::new(9);
        let send = |u: &mut Untaken| std::iter::from_fn(|| u.next_to_send()).map(number).collect::<Vec<_>>();
        for _ in 0..3 {
            assert!(untaken.push(publish));
        }
        assert_eq!(send(&mut untaken), [1, 2, 3]);
        assert_eq!(send(&mut untaken), [0; 0], "once a session");
        untaken.taken(8, 3);
        untaken.taken(9, 1);
        assert!(untaken.push(publish));
        assert_eq!(send(&mut untaken), [4]);
        untaken.session_ended();
        assert_eq!(send(&mut untaken), [2, 3, 4]);
        untaken.session_ended();
        // M's word may come before all was sent again.
        untaken.taken(9, 3);
        assert_eq!(send(&mut untaken), [4]);
        untaken.taken(9, 4);
        assert!(untaken.is_empty());
        for _ in 0..UNTAKEN_MAX {
            assert!(untaken.push(publish));
        }
        assert!(!untaken.push(publish));
        assert_eq!(send(&mut untaken).len(), UNTAKEN_MAX);
    }

    #[test]
    fn numbers_end_and_do_not_begin_anew() {
        let mut untaken = Untaken { last: u32::MAX - 1, ..Untaken::new(9) };
        assert!(untaken.push(publish));
        assert!(!untaken.push(publish));
        assert_eq!(untaken.next_to_send().map(number), Some(u32::MAX));
        assert_eq!(untaken.next_to_send(), None);
    }
}
