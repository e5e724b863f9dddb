//! The instances: fixed places for all state, reached from the application and from the interrupt one at a time.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use coracle_rpmsg::{Fault, NAME_SERVICE_BYTES, RxBuffer, TxBuffer};
use coracle_shmem::acquire_barrier;
use heapless::Vec;

use crate::end::End;
use crate::limits::{ALLOCATED_MAX, ENDPOINTS_MAX, HELD_MAX, INSTANCES_MAX, LINK_ID_MAX, QUEUES_MAX};
use crate::ns::{NameServiceCallback, NameServiceContext};
use crate::queue::Queue;
use crate::{RL_ADDR_ANY, RL_ERR_PARAM, RL_HOLD, RL_SUCCESS, platform};

/// `rl_ept_rx_cb_t`: payload, its bytes, the sender's address, and the pointer given with the endpoint. Answers
/// [`crate::RL_RELEASE`] or [`RL_HOLD`].
pub type ReceiveCallback =
    Option<unsafe extern "C" fn(payload: *mut c_void, payload_len: u32, src: u32, private: *mut c_void) -> i32>;

/// `struct rpmsg_lite_endpoint`, for the application to read. The library does not: it has its own copy.
#[repr(C)]
#[derive(Debug)]
pub struct Endpoint {
    /// The endpoint's address.
    pub addr: u32,
    /// The callback.
    pub rx_cb: ReceiveCallback,
    /// What the callback gets.
    pub rx_cb_data: *mut c_void,
    /// Not used.
    pub rfu: *mut c_void,
}

impl Endpoint {
    const NONE: Self = Self { addr: 0, rx_cb: None, rx_cb_data: ptr::null_mut(), rfu: ptr::null_mut() };
}

/// `struct rpmsg_lite_instance`: one side of a link. Its inside is nobody's business.
#[derive(Debug)]
pub struct Instance {
    /// The link id plus one; 0 while the place is free.
    link: AtomicU32,
    /// The queues (bit 0, bit 1) for which the platform layer registered its interrupt.
    registered: AtomicU8,
    locked: AtomicBool,
    state: UnsafeCell<Place>,
    endpoints: [UnsafeCell<Endpoint>; ENDPOINTS_MAX],
    pub(crate) name_service: UnsafeCell<NameServiceContext>,
    pub(crate) queues: [Queue; QUEUES_MAX],
}

// SAFETY: `state` is only reached through `with`, one caller at a time. `endpoints` and `name_service` are only written by
// whoever owns the record at that moment: the caller that just got it out of `state`. `Queue` holds nothing.
unsafe impl Sync for Instance {}

impl Instance {
    const fn free() -> Self {
        Self {
            link: AtomicU32::new(0),
            registered: AtomicU8::new(0),
            locked: AtomicBool::new(false),
            state: UnsafeCell::new(Place::Free),
            endpoints: [const { UnsafeCell::new(Endpoint::NONE) }; ENDPOINTS_MAX],
            name_service: UnsafeCell::new(NameServiceContext::NONE),
            queues: [const { Queue::new() }; QUEUES_MAX],
        }
    }
}

static INSTANCES: [Instance; INSTANCES_MAX] = [const { Instance::free() }; INSTANCES_MAX];
/// How many instances use the platform layer.
static USERS: AtomicU32 = AtomicU32::new(0);

/// The state of an instance in use. An `Option` would say "none" by some other number than 0, which puts all of the static
/// memory into the image of the program.
#[repr(u8)]
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is only ever in a place of its own")]
enum Place {
    Free = 0,
    Used(State),
}

/// What an instance knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) end: End,
    pub(crate) up: bool,
    endpoints: [Option<Registered>; ENDPOINTS_MAX],
    pub(crate) held: Vec<Held, HELD_MAX>,
    allocated: Vec<TxBuffer, ALLOCATED_MAX>,
    pub(crate) queues: [bool; QUEUES_MAX],
}

#[derive(Debug, Clone, Copy)]
struct Registered {
    address: u32,
    receiver: Receiver,
}

/// Who gets an endpoint's messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Receiver {
    Messages(ReceiveCallback, *mut c_void),
    Channels(NameServiceCallback, *mut c_void),
}

/// A received buffer that is not given back yet, in the order of arrival.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) buffer: RxBuffer,
    /// The queue that it waits in.
    pub(crate) queue: Option<u8>,
}

/// What to call, outside the lock.
pub(crate) enum Delivery {
    Message { callback: ReceiveCallback, private: *mut c_void, payload: *mut u8, len: u32, src: u32 },
    Channel { callback: NameServiceCallback, private: *mut c_void, message: [u8; NAME_SERVICE_BYTES] },
}

/// The instance that a pointer from C means, if it is one in use.
pub(crate) fn find(pointer: *const Instance) -> Option<&'static Instance> {
    INSTANCES.iter().find(|instance| ptr::eq(*instance, pointer) && instance.link.load(Ordering::Acquire) != 0)
}

/// The instance of a link.
pub(crate) fn of_link(link_id: u32) -> Option<&'static Instance> {
    INSTANCES.iter().find(|instance| instance.link.load(Ordering::Acquire) == link_id.saturating_add(1))
}

/// The instance and the number of the queue that a handle from C means.
pub(crate) fn of_queue(handle: *const c_void) -> Option<(&'static Instance, u8)> {
    INSTANCES.iter().filter(|instance| instance.link.load(Ordering::Acquire) != 0).find_map(|instance| {
        let at = instance.queues.iter().position(|queue| ptr::eq(ptr::from_ref(queue).cast(), handle))?;
        Some((instance, u8::try_from(at).ok()?))
    })
}

/// Takes a free place for `link_id`, whose end `make` makes once the platform layer is ready.
pub(crate) fn create(link_id: u32, up: bool, make: impl FnOnce() -> Option<End>) -> Option<&'static Instance> {
    if link_id > LINK_ID_MAX || of_link(link_id).is_some() {
        return None;
    }
    let instance = INSTANCES
        .iter()
        .find(|instance| instance.link.compare_exchange(0, link_id + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok())?;
    if USERS.fetch_add(1, Ordering::AcqRel) == 0 && !platform::init() {
        USERS.fetch_sub(1, Ordering::AcqRel);
        instance.link.store(0, Ordering::Release);
        return None;
    }
    let Some(end) = make() else {
        instance.leave();
        return None;
    };
    let state = State {
        end,
        up,
        endpoints: [None; ENDPOINTS_MAX],
        held: Vec::new(),
        allocated: Vec::new(),
        queues: [false; QUEUES_MAX],
    };
    // SAFETY: the place was just taken, and no interrupt is registered for it yet: nobody else looks at its state.
    unsafe { *instance.state.get() = Place::Used(state) };
    for queue in [0, 1] {
        platform::init_interrupt(platform::vector(link_id, queue), ptr::from_ref(instance).cast_mut().cast());
    }
    Some(instance)
}

impl Instance {
    fn link_id(&self) -> u32 {
        self.link.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// Gives the place back.
    pub(crate) fn destroy(&self) {
        for queue in [0, 1] {
            platform::deinit_interrupt(platform::vector(self.link_id(), queue));
        }
        self.registered.store(0, Ordering::Relaxed);
        // SAFETY: as in `create`: the interrupts are gone, and the application gave the instance up.
        unsafe { *self.state.get() = Place::Free };
        self.leave();
    }

    fn leave(&self) {
        if USERS.fetch_sub(1, Ordering::AcqRel) == 1 {
            platform::deinit();
        }
        self.link.store(0, Ordering::Release);
    }

    /// The platform layer takes the interrupt of `queue` into use, or out of it.
    pub(crate) fn register(&self, queue: u8, used: bool) {
        if used {
            self.registered.fetch_or(1 << queue, Ordering::AcqRel);
        } else {
            self.registered.fetch_and(!(1 << queue), Ordering::AcqRel);
        }
    }

    /// Works on the state, alone: with the link's interrupts off, and not while another thread does. Then rings the kicks
    /// that became due.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut locked = self.lock();
        locked.state().map(work)
    }

    // One copy of this, and of the end in `Locked`, instead of one in each of the interface's functions.
    #[inline(never)]
    fn lock(&self) -> Locked<'_> {
        let interrupts_off = platform::interrupts_off(self.link_id());
        // Another thread can be here only where threads run in parallel, so spinning ends: nothing in the locked part
        // waits. The callbacks and the platform layer are called outside of it.
        while self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            core::hint::spin_loop();
        }
        Locked { instance: self, interrupts_off }
    }

    /// The interrupt of `queue`: the other side is there, and may have sent or given back.
    pub(crate) fn interrupt(&self, queue: u8) {
        if self.registered.load(Ordering::Acquire) & 1 << queue == 0 {
            return;
        }
        // The port read its mailbox; what is loaded from now on must not have been loaded before that.
        acquire_barrier();
        self.with(State::kicked);
        while let Some(Some(delivery)) = self.with(State::next) {
            match delivery {
                Delivery::Message { callback: Some(callback), private, payload, len, src } => {
                    // SAFETY: the application gave callback and pointer for this, and keeps both valid as long as the
                    // endpoint exists. The payload lies in shared memory, `len` bytes of it in one buffer that is
                    // this side's until it is released.
                    let answer = unsafe { callback(payload.cast(), len, src, private) };
                    if answer != RL_HOLD {
                        self.with(|state| state.release(payload));
                    }
                }
                Delivery::Message { callback: None, payload, .. } => {
                    self.with(|state| state.release(payload));
                }
                Delivery::Channel { callback, private, message } => {
                    crate::ns::deliver(callback, private, &message);
                }
            }
        }
    }

    /// Creates an endpoint at a free place; the pointer that C gets for it.
    pub(crate) fn create_endpoint(&self, address: u32, receiver: Receiver) -> Option<*mut Endpoint> {
        let (at, address) = self.with(|state| state.create_endpoint(address, receiver))??;
        let record = self.endpoints.get(at)?.get();
        let (rx_cb, rx_cb_data) = match receiver {
            Receiver::Messages(callback, private) => (callback, private),
            Receiver::Channels(..) => (None, ptr::null_mut()),
        };
        // SAFETY: `record` is the place that was free until now; nobody has a pointer to use for it yet.
        unsafe { record.write(Endpoint { addr: address, rx_cb, rx_cb_data, rfu: ptr::null_mut() }) };
        Some(record)
    }

    /// Destroys the endpoint that a pointer from C means.
    pub(crate) fn destroy_endpoint(&self, pointer: *const Endpoint) -> i32 {
        let destroyed = self.place_of(pointer).and_then(|at| self.with(|state| state.endpoints.get_mut(at)?.take())?);
        if destroyed.is_some() { RL_SUCCESS } else { RL_ERR_PARAM }
    }

    /// The place of the endpoint that a pointer from C means.
    pub(crate) fn place_of(&self, pointer: *const Endpoint) -> Option<usize> {
        self.endpoints.iter().position(|record| ptr::eq(record.get(), pointer))
    }
}

/// The only access to an instance's state, until it is dropped.
struct Locked<'a> {
    instance: &'a Instance,
    /// Whether they are to be switched on again.
    interrupts_off: bool,
}

impl Locked<'_> {
    fn state(&mut self) -> Option<&mut State> {
        // SAFETY: `lock` found `locked` false and made it true, and only `drop` makes it false again: there is one
        // `Locked`, and it gives out one reference at a time.
        match unsafe { &mut *self.instance.state.get() } {
            Place::Free => None,
            Place::Used(state) => Some(state),
        }
    }
}

impl Drop for Locked<'_> {
    #[inline(never)]
    fn drop(&mut self) {
        let mut kicks = 0_u8;
        if let Some(state) = self.state() {
            while let Some(kick) = state.end.take_kick() {
                kicks |= 1 << (kick & 1);
            }
        }
        let link_id = self.instance.link_id();
        self.instance.locked.store(false, Ordering::Release);
        // Still without interrupts: a port that waits for its mailbox to be empty must not be interrupted by itself.
        for queue in [0, 1] {
            if kicks & 1 << queue != 0 {
                platform::notify(link_id, queue);
            }
        }
        if self.interrupts_off {
            platform::interrupts_on(link_id);
        }
    }
}

impl State {
    /// `result`, unless the rings are of no use any more: then everything in them is forgotten, and the link is down.
    fn or_lost<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        if matches!(result, Err(Fault::Index)) {
            self.lose();
        }
        result.ok()
    }

    fn lose(&mut self) {
        self.up = false;
        self.held.clear();
        self.allocated.clear();
        self.end.lost();
    }

    fn kicked(&mut self) {
        if self.end.was_replaced() {
            // The master was restarted: what this side holds is not in its rings.
            self.lose();
        }
        let there = self.end.kicked();
        self.up |= self.or_lost(there).unwrap_or(false);
    }

    /// The next message or announcement for somebody. What is for nobody goes back.
    fn next(&mut self) -> Option<Delivery> {
        // Bounded: the other side may send to endpoints that nobody has for ever. More than a full ring comes with a kick.
        for _ in 0..HELD_MAX {
            let taken = self.end.take();
            let buffer = self.or_lost(taken)??;
            match self.endpoints.iter().flatten().find(|e| e.address == buffer.dst()).map(|e| e.receiver) {
                None => self.give_back(buffer),
                Some(Receiver::Channels(callback, private)) => {
                    let mut message = [0; NAME_SERVICE_BYTES];
                    let whole = buffer.payload_bytes() == message.len() && self.end.read(&buffer, &mut message);
                    self.give_back(buffer);
                    if whole {
                        return Some(Delivery::Channel { callback, private, message });
                    }
                }
                Some(Receiver::Messages(callback, private)) => {
                    let (payload, src) = (self.end.received(&buffer), buffer.src());
                    let len = u32::try_from(buffer.payload_bytes()).unwrap_or(0);
                    match self.held.push(Held { buffer, queue: None }) {
                        Ok(()) => return Some(Delivery::Message { callback, private, payload, len, src }),
                        // There are no more buffers than places; see `HELD_MAX`.
                        Err(held) => self.give_back(held.buffer),
                    }
                }
            }
        }
        None
    }

    fn give_back(&mut self, buffer: RxBuffer) {
        let given = self.end.release(buffer);
        self.or_lost(given);
    }

    /// Gives a held buffer back, by its payload's place.
    pub(crate) fn release(&mut self, payload: *const u8) -> bool {
        // From the end: most are released right after they came.
        let Some(at) = self.held.iter().rposition(|held| ptr::eq(self.end.received(&held.buffer), payload)) else {
            return false;
        };
        let held = self.held.remove(at);
        self.give_back(held.buffer);
        true
    }

    fn create_endpoint(&mut self, address: u32, receiver: Receiver) -> Option<(usize, u32)> {
        let taken = |address: u32| self.endpoints.iter().flatten().any(|e| e.address == address);
        let address = match address {
            RL_ADDR_ANY => (1..RL_ADDR_ANY).find(|a| !taken(*a))?,
            fixed if taken(fixed) => return None,
            fixed => fixed,
        };
        let at = self.endpoints.iter().position(Option::is_none)?;
        *self.endpoints.get_mut(at)? = Some(Registered { address, receiver });
        Some((at, address))
    }

    /// The address of the endpoint at a place.
    pub(crate) fn address(&self, at: usize) -> Option<u32> {
        self.endpoints.get(at).copied().flatten().map(|endpoint| endpoint.address)
    }

    /// A buffer to send.
    pub(crate) fn alloc(&mut self) -> Option<TxBuffer> {
        let buffer = self.end.alloc();
        self.or_lost(buffer)?
    }

    /// Keeps a buffer that the application writes into; its place and room.
    pub(crate) fn lend(&mut self, buffer: TxBuffer) -> Option<(*mut u8, usize)> {
        let lent = (self.end.transmitted(&buffer), buffer.capacity());
        match self.allocated.push(buffer) {
            Ok(()) => Some(lent),
            Err(buffer) => {
                self.end.cancel(buffer);
                None
            }
        }
    }

    /// Takes a lent buffer of at least `len` bytes back, by its payload's place.
    pub(crate) fn returned(&mut self, payload: *const u8, len: usize) -> Result<TxBuffer, i32> {
        let at = self.allocated.iter().position(|buffer| ptr::eq(self.end.transmitted(buffer), payload));
        match at.and_then(|at| self.allocated.get(at).map(|buffer| (at, buffer.capacity()))) {
            None => Err(RL_ERR_PARAM),
            Some((_, room)) if len > room => Err(crate::RL_ERR_BUFF_SIZE),
            Some((at, _)) => Ok(self.allocated.swap_remove(at)),
        }
    }

    /// Sends a buffer.
    pub(crate) fn send(&mut self, buffer: TxBuffer, src: u32, dst: u32, len: usize) -> i32 {
        let sent = self.end.send(buffer, src, dst, len);
        if self.or_lost(sent).is_some() { RL_SUCCESS } else { crate::RL_NOT_READY }
    }
}
