//! What the mailbox does when its words change. Pure: words and bells in, steps out, time is an argument.
//!
//! Words have no side effects and the driver changes its own by reading and writing back, so the model follows two rules
//! that together lose no message:
//! - It never writes a word that the driver writes while the mailbox is in use. What a channel carries is therefore not
//!   read from the set/clear register (nobody could clear it), but from the mask: the driver unmasks a channel's
//!   transmit-free interrupt after each message and masks it when it takes that interrupt.
//! - A channel to M is shown as free only from when its message was delivered until the driver was seen to take the
//!   interrupt. Interrupts are edges here, so one may come late, for an earlier message or for another channel; it then
//!   finds the channel occupied and cannot swallow a message that the model has not seen. What the driver swallows while
//!   the channel is free is covered by one more bell after that: a virtqueue's bell may ring too often, never too
//!   rarely.
//!
//! The driver must run on one processor: on several, one could send between the two reads of another's interrupt thread.

use crate::registers::{
    A_TO_M_OCCUPIED, ALL_CHANNELS, CHANNELS, CONTROL_RX_OCCUPIED_ENABLE, CONTROL_TX_FREE_ENABLE, M_TO_A_OCCUPIED,
    SHUTDOWN_CHANNEL, SYSCON_DEEP_SLEEP, SYSCON_PAGE,
};

/// How long the driver may leave a free channel unmasked before it is reminded, in microseconds. Messages that the driver
/// had queued follow each other so fast that the mask in between is never seen; each waits this long.
const REMIND_US: u64 = 300;

/// Interrupt lines of the A core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// A channel from M is occupied.
    RxOccupied,
    /// A channel to M is free.
    TxFree,
}

/// What the mailbox does. Steps are to be carried out in order, each finished before the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Store a word.
    Store {
        /// Offset from the first shared byte.
        offset: u32,
        /// The word.
        value: u32,
    },
    /// Ring the bell of a virtqueue at the M core.
    RingM(u8),
    /// Raise and lower an interrupt line of the A core.
    Pulse(Interrupt),
    /// Reset the M core.
    ResetM,
}

/// The words that the driver writes, as they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The control register.
    pub control: u32,
    /// The mask register.
    pub mask: u32,
}

impl Seen {
    /// Channels whose transmit-free interrupt the driver waits for.
    fn wait_for_free(self) -> u32 {
        if self.control & CONTROL_TX_FREE_ENABLE == 0 { 0 } else { (!self.mask >> 16) & ALL_CHANNELS }
    }

    /// Channels on which the driver can receive.
    fn receiving(self) -> u32 {
        if self.control & CONTROL_RX_OCCUPIED_ENABLE == 0 { 0 } else { !self.mask & ALL_CHANNELS }
    }
}

/// The mailbox.
#[derive(Debug, Default)]
pub struct Model {
    /// Channels to M that are shown as free.
    free: u32,
    /// When the driver was last told of them.
    told_us: u64,
    /// Channels from M whose message the driver was not yet told of.
    due: u32,
    /// Channels from M that are shown as occupied.
    occupied: u32,
}

impl Model {
    /// The mailbox after power-on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The M core rang a bell. One that is no virtqueue's is ignored.
    pub fn bell_from_m(&mut self, id: u8) {
        if u32::from(id) < SHUTDOWN_CHANNEL {
            self.due |= 1 << id;
        }
    }

    /// What the words of the moment lead to.
    pub fn advance(&mut self, seen: Seen, now_us: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        self.serve_m(seen.wait_for_free(), now_us, &mut steps);
        self.serve_a(seen.receiving(), &mut steps);
        steps
    }

    fn serve_m(&mut self, waiting: u32, now_us: u64, steps: &mut Vec<Step>) {
        let taken = self.free & !waiting;
        if taken != 0 {
            self.free &= !taken;
            steps.push(self.show_free());
            steps.extend(bells(taken));
        }
        let new = waiting & !self.free;
        if new & (1 << SHUTDOWN_CHANNEL) != 0 {
            // The driver waits in `stop` for this channel, so it does not touch the word of the deep sleep now. Set here,
            // no start can be missed that clears it again soon after; and a core that is in its boot stub when the
            // driver goes on cannot disturb the memory that the driver then fills anew.
            steps.push(Step::Store { offset: SYSCON_PAGE + SYSCON_DEEP_SLEEP, value: 1 });
            steps.push(Step::ResetM);
        }
        steps.extend(bells(new));
        let remind = self.free != 0 && now_us.saturating_sub(self.told_us) >= REMIND_US;
        if remind {
            steps.extend(bells(self.free));
        }
        if new != 0 {
            self.free |= new;
            steps.push(self.show_free());
        }
        if new != 0 || remind {
            self.told_us = now_us;
            steps.push(Step::Pulse(Interrupt::TxFree));
        }
    }

    fn serve_a(&mut self, receiving: u32, steps: &mut Vec<Step>) {
        let ready = self.due & receiving;
        if ready == 0 {
            return;
        }
        self.due &= !ready;
        if self.occupied | ready != self.occupied {
            // Never taken back: the driver's clearing cannot be told from its next one. A channel that stays occupied makes
            // the driver look at a virtqueue in vain, no more.
            self.occupied |= ready;
            steps.push(Step::Store { offset: M_TO_A_OCCUPIED, value: self.occupied });
        }
        steps.push(Step::Pulse(Interrupt::RxOccupied));
    }

    fn show_free(&self) -> Step {
        Step::Store { offset: A_TO_M_OCCUPIED, value: ALL_CHANNELS & !self.free }
    }
}

/// Rings the bells of those of `channels` that are virtqueues.
fn bells(channels: u32) -> impl Iterator<Item = Step> {
    (0..CHANNELS.min(SHUTDOWN_CHANNEL))
        .filter(move |channel| channels & (1 << channel) != 0)
        .map(|channel| Step::RingM(channel as u8))
}
