//! A set of descriptor ids.

use crate::vring::VRING_ENTRIES_MAX;

const WORDS: usize = VRING_ENTRIES_MAX / 32;

/// A set of ids below [`VRING_ENTRIES_MAX`]; larger ones are never in it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ids([u32; WORDS]);

impl Ids {
    /// Whether it was not there before.
    pub(crate) fn insert(&mut self, id: u16) -> bool {
        let Some(word) = self.0.get_mut(usize::from(id / 32)) else { return false };
        let bit = 1 << (id % 32);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, id: u16) -> bool {
        let Some(word) = self.0.get_mut(usize::from(id / 32)) else { return false };
        let bit = 1 << (id % 32);
        let there = *word & bit != 0;
        *word &= !bit;
        there
    }
}

/// A set of ids to take from, which is empty most of the time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spares {
    ids: Ids,
    /// Whether there may be one: that there is none is found without a pass over the bits, message by message.
    any: bool,
}

impl Spares {
    pub(crate) fn insert(&mut self, id: u16) {
        self.any = true;
        self.ids.insert(id);
    }

    /// Takes the lowest id out.
    pub(crate) fn pop(&mut self) -> Option<u16> {
        if !self.any {
            return None;
        }
        for (word, base) in self.ids.0.iter_mut().zip((0_u16..).step_by(32)) {
            if *word != 0 {
                let bit = word.trailing_zeros() as u16;
                *word &= *word - 1;
                return Some(base + bit);
            }
        }
        self.any = false;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_it_once() {
        let mut ids = Ids::default();
        assert!(ids.insert(31) && ids.insert(32));
        assert!(!ids.insert(32) && !ids.insert(256), "in it already; too large");
        assert!(ids.remove(31) && !ids.remove(31) && !ids.remove(9999));
    }

    #[test]
    fn spares_come_out_lowest_first_and_once() {
        let mut spares = Spares::default();
        for id in [255, 0, 31, 32, 64, 32, 256] {
            spares.insert(id);
        }
        let out = [(); 6].map(|()| spares.pop());
        assert_eq!(out, [Some(0), Some(31), Some(32), Some(64), Some(255), None]);
        spares.insert(7);
        assert_eq!((spares.pop(), spares.pop()), (Some(7), None));
    }
}
