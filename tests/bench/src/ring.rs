//! Two ends that poll: one serves, the other measures. Generic over the stack, so that every stack runs the same loops.

use std::hint::spin_loop;
use std::thread::yield_now;
use std::time::{Duration, Instant};

use coracle_rpmsg::{
    Device, Driver, Endpoint, Fault, Geometry, Instance, Layout, PAYLOAD_BYTES_MAX, Received, Rpmsg, RpmsgError,
};
use coracle_shmem::Region;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Payloads that are measured, in bytes: a small message, a cache line, the largest with Linux.
pub const PAYLOADS: [usize; 3] = [16, 64, PAYLOAD_BYTES_MAX];

/// Bytes for the two words that steer a measurement, each in a cache line of its own.
const CONTROL_BYTES: usize = 256;
/// Offset of the count of messages that the server swallowed.
const SWALLOWED_AT: usize = 0;
/// Offset of the word that ends the server.
const STOP_AT: usize = 128;

/// Address of the endpoint whose messages come back.
const ECHO: u32 = 30;
/// Address of the endpoint whose messages are only counted.
const SINK: u32 = 31;
/// Address of the measuring side's endpoint.
const CLIENT: u32 = 1030;

/// Endpoints of each side.
const ENDPOINTS: usize = 4;
/// Looks at the shared memory before the processor is offered to others. Long against a round trip, short against a
/// time slice: if both ends are on one processor, they must take turns.
const LOOKS: u32 = 4096;
/// Longest wait for the other end, which otherwise has died.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of shared memory that a measurement takes.
#[must_use]
pub const fn memory_bytes(geometry: Geometry) -> usize {
    geometry.bytes() + CONTROL_BYTES
}

/// Where rings, buffers and control words lie in `memory`, which has at least [`memory_bytes`].
///
/// # Errors
/// [`Fault::Layout`] when it has fewer.
pub fn layout(memory: Region<'_>, geometry: Geometry) -> Result<(Layout<'_>, Control<'_>), Fault> {
    let control = memory.sub(geometry.bytes(), CONTROL_BYTES)?;
    Ok((Layout::contiguous(memory, 0, geometry)?, Control { region: control }))
}

/// Our stack in both roles over `layout`, with the link up.
///
/// # Errors
/// [`Fault::Layout`] when the memory is too small.
pub fn local_pair<'m>(
    layout: &Layout<'m>,
) -> Result<(Instance<Driver<'m>, ENDPOINTS>, Instance<Device<'m>, ENDPOINTS>), Fault> {
    let driver = Instance::new(Driver::new(layout)?);
    let mut device = Instance::new(Device::new(layout)?);
    device.set_link_up();
    Ok((driver, device))
}

/// The words beside the rings by which the two ends agree on what is measured.
#[derive(Debug, Clone, Copy)]
pub struct Control<'m> {
    region: Region<'m>,
}

impl Control<'_> {
    /// Ends [`serve`] on the other side.
    pub fn stop(&self) {
        self.set(STOP_AT, 1);
    }

    fn get(&self, at: usize) -> u32 {
        self.region.load_u32(at).expect("the control words are inside")
    }

    fn set(&self, at: usize, value: u32) {
        self.region.store_u32(at, value).expect("the control words are inside");
    }
}

/// Keeps this thread on the processor with this number, if there is one that it may use: two ends that poll measure
/// nothing but the scheduler when they take turns on one processor. Returns whether it worked.
pub fn stay_on(processor: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(processor).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)).is_ok()
}

/// Looks until `look` finds something.
///
/// # Panics
/// When nothing was found for [`PATIENCE`]: the other end died.
fn poll<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut start = None;
    loop {
        for _ in 0..LOOKS {
            if let Some(found) = look() {
                return found;
            }
            spin_loop();
        }
        yield_now();
        let start = *start.get_or_insert_with(Instant::now);
        assert!(start.elapsed() < PATIENCE, "waited {} s in vain for: {what}", PATIENCE.as_secs());
    }
}

/// A message sent, or `None` when there was no buffer.
fn try_send<P: Rpmsg>(rpmsg: &mut P, from: Endpoint, dst: u32, payload: &[u8]) -> Option<()> {
    match rpmsg.send(from, dst, payload) {
        Ok(()) => Some(()),
        Err(RpmsgError::NoBuffer) => None,
        Err(error) => panic!("cannot send: {error}"),
    }
}

/// Answers messages until [`Control::stop`], or until `alive`, asked when there is nothing to do, says no. `look` makes
/// the stack look for messages, if receiving does not do that itself.
///
/// # Panics
/// When the stack refuses what the measurement needs.
pub fn serve<P: Rpmsg>(
    rpmsg: &mut P,
    control: Control<'_>,
    mut look: impl FnMut(&mut P),
    mut alive: impl FnMut() -> bool,
) {
    // Before the first look, which may hand out messages: one for an endpoint that is not there yet would be dropped.
    let echo = rpmsg.create_endpoint(ECHO).expect("the address is free");
    let sink = rpmsg.create_endpoint(SINK).expect("the address is free");
    poll("the link", || {
        look(rpmsg);
        rpmsg.is_link_up().then_some(())
    });
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let mut idle = 0;
    let mut swallowed: u32 = 0;
    while control.get(STOP_AT) == 0 {
        look(rpmsg);
        match rpmsg.receive(&mut payload).expect("the other end keeps the protocol") {
            Some(Received::Message { endpoint, src, len }) if endpoint == echo => {
                poll("a buffer for an answer", || try_send(rpmsg, echo, src, &payload[..len]));
                idle = 0;
            }
            Some(Received::Message { endpoint, .. }) if endpoint == sink => {
                swallowed = swallowed.wrapping_add(1);
                control.set(SWALLOWED_AT, swallowed);
                idle = 0;
            }
            _ => {
                idle += 1;
                spin_loop();
            }
        }
        if idle == LOOKS {
            idle = 0;
            yield_now();
            if !alive() {
                return;
            }
        }
    }
}

/// The end that measures.
#[derive(Debug)]
pub struct Client<'m, P, L> {
    rpmsg: P,
    look: L,
    control: Control<'m>,
    endpoint: Endpoint,
    answer: [u8; PAYLOAD_BYTES_MAX],
}

impl<'m, P: Rpmsg, L: FnMut(&mut P)> Client<'m, P, L> {
    /// The measuring end over `rpmsg`. `look` is as for [`serve`].
    ///
    /// # Panics
    /// When the stack has no endpoint left.
    pub fn new(mut rpmsg: P, control: Control<'m>, look: L) -> Self {
        let endpoint = rpmsg.create_endpoint(CLIENT).expect("the address is free");
        Self { rpmsg, look, control, endpoint, answer: [0; PAYLOAD_BYTES_MAX] }
    }

    /// Sends `payload`, waits for its answer and returns it.
    ///
    /// # Panics
    /// When there is no answer, or one of another length.
    pub fn round_trip(&mut self, payload: &[u8]) -> &[u8] {
        let Self { rpmsg, look, endpoint, answer, .. } = self;
        poll("a buffer", || try_send(rpmsg, *endpoint, ECHO, payload));
        poll("an answer", || {
            look(rpmsg);
            match rpmsg.receive(answer).expect("the other end keeps the protocol") {
                Some(Received::Message { len, .. }) => {
                    assert_eq!(len, payload.len(), "an answer of another length");
                    Some(())
                }
                _ => None,
            }
        });
        &self.answer[..payload.len()]
    }

    /// Sends `payload` `count` times without waiting for answers, until the other end has taken all of them.
    ///
    /// # Panics
    /// When the other end takes nothing.
    pub fn send_many(&mut self, payload: &[u8], count: u64) {
        let Self { rpmsg, endpoint, control, .. } = self;
        // Both counts wrap.
        let target = control.get(SWALLOWED_AT).wrapping_add(count as u32);
        for _ in 0..count {
            poll("a buffer", || try_send(rpmsg, *endpoint, SINK, payload));
        }
        poll("the last message to be taken", || (control.get(SWALLOWED_AT) == target).then_some(()));
    }
}
