//! The two channels and the room that a receiver grants on each.

use serde::{Deserialize, Serialize};

/// Most messages of a channel that a side takes before it grants more: what keeps both cores busy across one round trip.
pub const WINDOW_MAX: u32 = 16;
/// Most messages that a side may have been granted and not sent yet. More than any receiver has room for: such a number
/// is a fault, or one that went backwards.
pub const CREDIT_MAX: u32 = 1 << 15;
/// Buffers kept free for the link's own frames, which need no credit. What may be on its way at once in one direction
/// while the other side reads nothing: a greeting or its answer, a Ping or a Pong, and two Credit frames a channel,
/// because a side grants again only when half of what it had granted was used.
const OWN_FRAMES_MAX: u32 = 6;

/// What a message is, as far as its way to the other core is concerned. Messages of one channel keep their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channel {
    /// Who holds what, and everything whose order among itself matters. Sent before anything in bulk.
    Control,
    /// What comes in streams or in quantity.
    Bulk,
}

impl Channel {
    /// Both, the more urgent one first.
    pub const ALL: [Self; 2] = [Self::Control, Self::Bulk];
}

/// A number of messages for each channel. On the wire: how many the receiver has room for, counted from the start of the
/// session (modulo 2^32), so that saying it twice changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Credit {
    /// Messages on [`Channel::Control`].
    pub control: u32,
    /// Messages on [`Channel::Bulk`].
    pub bulk: u32,
}

impl Credit {
    /// What a side may grant that receives into a ring of `buffers`: all of it and the link's own frames fit the ring. A
    /// ring of fewer than 8 buffers gets one message a channel all the same; frames may then wait at their sender.
    #[must_use]
    pub const fn for_buffers(buffers: u16) -> Self {
        let each = (buffers as u32).saturating_sub(OWN_FRAMES_MAX) / 2;
        let each = if each > WINDOW_MAX {
            WINDOW_MAX
        } else if each == 0 {
            1
        } else {
            each
        };
        Self { control: each, bulk: each }
    }

    pub(crate) fn get(self, channel: Channel) -> u32 {
        match channel {
            Channel::Control => self.control,
            Channel::Bulk => self.bulk,
        }
    }

    pub(crate) fn get_mut(&mut self, channel: Channel) -> &mut u32 {
        match channel {
            Channel::Control => &mut self.control,
            Channel::Bulk => &mut self.bulk,
        }
    }

    /// How far this is ahead of `used`, channel by channel.
    pub(crate) fn ahead_of(self, used: Self) -> Self {
        Self { control: self.control.wrapping_sub(used.control), bulk: self.bulk.wrapping_sub(used.bulk) }
    }

    /// This much further on.
    pub(crate) fn plus(self, more: Self) -> Self {
        Self { control: self.control.wrapping_add(more.control), bulk: self.bulk.wrapping_add(more.bulk) }
    }

    /// Whether neither number is over [`CREDIT_MAX`].
    pub(crate) fn is_sane(self) -> bool {
        self.control <= CREDIT_MAX && self.bulk <= CREDIT_MAX
    }

    /// Whether so little of `window` is left on a channel that more has to be granted before the sender runs dry.
    pub(crate) fn is_low(self, window: Self) -> bool {
        Channel::ALL.iter().any(|c| self.get(*c) <= window.get(*c) / 2)
    }
}
