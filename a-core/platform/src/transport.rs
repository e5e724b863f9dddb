//! What the owner of the supervisor needs of its channel to M, whoever drives the rings.

use std::os::fd::BorrowedFd;

use coracle_rpmsg::PAYLOAD_BYTES_MAX;

use crate::driver_port::PortEvent;

/// A channel to M that comes, goes, and comes again by itself.
///
/// Nothing blocks. [`Transport::poll`] is called until it says [`PortEvent::Idle`], and again when the descriptor of
/// [`Transport::readiness`] is ready or [`Transport::wait_us`] has passed.
pub trait Transport {
    /// A number for the first session. No two lives of this side share one, nor any of the sessions counted up from it.
    fn first_nonce(&self) -> u32;

    /// Looks at the channel: what M sent, or what became of it.
    fn poll(&mut self, payload: &mut [u8; PAYLOAD_BYTES_MAX]) -> PortEvent;

    /// Takes a frame for sending; it goes out when there is room. Without an open channel it is dropped: its session is
    /// over. Call [`Transport::flush`] after the last one of a batch.
    fn send(&mut self, frame: &[u8]);

    /// Tells M what was sent: one doorbell for many frames.
    fn flush(&mut self);

    /// Gives the channel up and starts again: M is known to be dead or confused.
    fn restart(&mut self);

    /// How long to wait at most before the next poll, in microseconds. `None`: until the descriptor is ready.
    fn wait_us(&self) -> Option<u64>;

    /// What to wait for; `None` while there is nothing but time.
    fn readiness(&self) -> Option<Readiness<'_>>;

    /// What the operator should know, once for each trouble.
    fn take_complaint(&mut self) -> Option<String>;
}

/// A descriptor to wait for. An error condition counts as ready.
#[derive(Debug, Clone, Copy)]
pub struct Readiness<'a> {
    /// The descriptor; it becomes readable.
    pub fd: BorrowedFd<'a>,
    /// Whether room for writing is waited for as well.
    pub write: bool,
}
