//! Messages that wait for A to grant credit.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use coracle_link::{Channel, Responder};

/// The queues, one for each channel. Their bound is the supervisor's matter.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    control: VecDeque<Vec<u8>>,
    bulk: VecDeque<Vec<u8>>,
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.control.len() + self.bulk.len()
    }

    pub(crate) fn push(&mut self, channel: Channel, body: &[u8]) {
        self.queue(channel).push_back(body.to_vec());
    }

    /// The message to send next, if the link lets one pass.
    pub(crate) fn take_next(&mut self, link: &Responder) -> Option<(Channel, Vec<u8>)> {
        let channel = link.next(!self.control.is_empty(), !self.bulk.is_empty())?;
        Some((channel, self.queue(channel).pop_front()?))
    }

    pub(crate) fn clear(&mut self) {
        self.control.clear();
        self.bulk.clear();
    }

    fn queue(&mut self, channel: Channel) -> &mut VecDeque<Vec<u8>> {
        match channel {
            Channel::Control => &mut self.control,
            Channel::Bulk => &mut self.bulk,
        }
    }
}
