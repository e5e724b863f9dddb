//! The retained values of topics on this core.

use alloc::vec::Vec;

use coracle_container::Payload;
use coracle_guest_abi::Name;

/// Most topics with a value. More are not kept: publishing still delivers them.
pub(crate) const RETAINED_TOPICS_MAX: usize = 16;

struct Value {
    topic: Name,
    payload: Payload,
    /// It was published here, and A was not told yet in this session.
    untold: bool,
    /// It was published here.
    ours: bool,
}

/// The table.
#[derive(Default)]
pub(crate) struct Topics(Vec<Value>);

impl Topics {
    /// Keeps a value; an empty one ends the topic's. False when there is no room for another topic.
    pub(crate) fn set(&mut self, topic: &Name, payload: Payload, ours: bool) -> bool {
        let value = Value { topic: topic.clone(), payload, untold: ours, ours };
        let full = self.0.len() >= RETAINED_TOPICS_MAX;
        match self.0.iter_mut().find(|v| v.topic == *topic) {
            Some(old) => *old = value,
            // There is none to remove.
            None if value.payload.is_empty() => {}
            None if full => return false,
            None => self.0.push(value),
        }
        self.sweep();
        true
    }

    /// The value of a topic.
    pub(crate) fn get(&self, topic: &str) -> Option<&Payload> {
        self.0.iter().find(|v| v.topic == topic && !v.payload.is_empty()).map(|v| &v.payload)
    }

    /// The next value that A does not know; it counts as told.
    pub(crate) fn tell(&mut self) -> Option<(Name, Payload)> {
        let value = self.0.iter_mut().find(|v| v.untold)?;
        value.untold = false;
        let told = (value.topic.clone(), value.payload.clone());
        self.sweep();
        Some(told)
    }

    /// A new A knows nothing.
    pub(crate) fn forget_told(&mut self) {
        for value in &mut self.0 {
            value.untold = value.ours;
        }
    }

    /// An empty value stays only until A knows of it.
    fn sweep(&mut self) {
        self.0.retain(|v| v.untold || !v.payload.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn name(s: &str) -> Name {
        Name::try_from(s).unwrap()
    }

    #[test]
    fn a_value_stays_until_it_is_replaced_or_removed() {
        let mut topics = Topics::default();
        assert!(topics.set(&name("a"), b"1".to_vec().into(), true));
        assert_eq!(topics.tell().map(|(t, p)| (t, p.to_vec())), Some((name("a"), b"1".to_vec())));
        assert_eq!(topics.tell(), None);
        topics.set(&name("a"), Payload::default(), true);
        assert_eq!(topics.get("a"), None);
        assert_eq!(topics.tell(), Some((name("a"), Payload::default())), "A has to remove it too");
        assert!(topics.0.is_empty());
        topics.set(&name("b"), b"2".to_vec().into(), false);
        assert_eq!(topics.tell(), None, "A told it");
        topics.set(&name("c"), b"3".to_vec().into(), true);
        topics.tell();
        topics.forget_told();
        assert_eq!(topics.tell().map(|(t, _)| t), Some(name("c")));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut topics = Topics::default();
        for n in 0..RETAINED_TOPICS_MAX {
            assert!(topics.set(&name(&format!("t{n}")), b"x".to_vec().into(), true));
        }
        assert!(!topics.set(&name("more"), b"x".to_vec().into(), true));
        assert!(topics.set(&name("t3"), b"y".to_vec().into(), true), "a known one may change");
        for n in 0..1000 {
            topics.set(&name(&format!("e{n}")), Payload::default(), true);
        }
        assert_eq!(topics.0.len(), RETAINED_TOPICS_MAX);
    }
}
