//! A side of a link that the library runs, behind the traits of Coracle's own stack.

use core::cell::RefCell;
use core::ffi::{CStr, c_char, c_void};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering};

use coracle_rpmsg::{
    ADDRESS_ANY, Endpoint, Fault, Geometry, HEADER_BYTES, Held, NAME_SERVICE_ADDRESS, NAME_SERVICE_BYTES, NameService,
    Received, Rpmsg, RpmsgError, ZeroCopy,
};
use coracle_shmem::Region;
use critical_section::Mutex;
use heapless::{Deque, Vec};

use crate::{InitError, LibraryError, config, sys};

/// Transmit buffers of an instance that are taken and not sent.
const TAKEN_MAX: usize = 16;
/// Bytes of a name in an announcement.
const NAME_BYTES: usize = 32;

/// What an instance needs for good: the library may call back into it until it is told not to. `ENDPOINTS` of them, and
/// `MESSAGES` that arrived and were not taken: with as many as there are buffers none is ever dropped.
#[derive(Debug)]
pub struct Storage<const ENDPOINTS: usize, const MESSAGES: usize> {
    inbox: Inbox<MESSAGES>,
    slots: [Slot<MESSAGES>; ENDPOINTS],
}

impl<const ENDPOINTS: usize, const MESSAGES: usize> Storage<ENDPOINTS, MESSAGES> {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        let arrivals = Arrivals {
            items: Deque::new(),
            base: 0,
            len: 0,
            payload_bytes_max: 0,
            dropped: 0,
            malformed: 0,
            unknown: 0,
        };
        Self {
            inbox: Mutex::new(RefCell::new(arrivals)),
            slots: [const { Slot { inbox: None, address: AtomicU32::new(0) } }; ENDPOINTS],
        }
    }
}

impl<const ENDPOINTS: usize, const MESSAGES: usize> Default for Storage<ENDPOINTS, MESSAGES> {
    fn default() -> Self {
        Self::new()
    }
}

/// What arrived, in order. The library's callbacks put in (on a board: in the interrupt), the owner takes out.
type Inbox<const MESSAGES: usize> = Mutex<RefCell<Arrivals<MESSAGES>>>;

#[derive(Debug)]
struct Arrivals<const MESSAGES: usize> {
    items: Deque<Arrival, MESSAGES>,
    /// Address and length of the shared memory: a payload must lie in it.
    base: usize,
    len: usize,
    payload_bytes_max: usize,
    dropped: u32,
    malformed: u32,
    unknown: u32,
}

#[derive(Debug, Clone, Copy)]
enum Arrival {
    /// A message whose buffer is held; the payload's offset in the shared memory.
    Message {
        to: u32,
        src: u32,
        len: usize,
        at: usize,
    },
    Channel(NameService),
}

/// What the library gets with an endpoint, because its callback does not say which endpoint a message is for.
#[derive(Debug)]
struct Slot<const MESSAGES: usize> {
    inbox: Option<&'static Inbox<MESSAGES>>,
    address: AtomicU32,
}

/// The library's receive callback. It is called in the interrupt on a board.
///
/// # Safety
/// `private` is a `Slot<MESSAGES>` that lives for good.
unsafe extern "C" fn message_arrived<const MESSAGES: usize>(
    payload: *mut c_void,
    len: u32,
    src: u32,
    private: *mut c_void,
) -> i32 {
    // SAFETY: `create_endpoint` gave the library a slot of a storage that lives for good; it is only read.
    let slot = unsafe { &*private.cast_const().cast::<Slot<MESSAGES>>() };
    let Some(inbox) = slot.inbox else { return sys::RL_RELEASE };
    critical_section::with(|token| {
        let mut arrivals = inbox.borrow_ref_mut(token);
        let (at, len) = (payload.addr().wrapping_sub(arrivals.base), usize::try_from(len).unwrap_or(usize::MAX));
        // The library passes on what the header says.
        if len > arrivals.payload_bytes_max || at.checked_add(len).is_none_or(|end| end > arrivals.len) {
            arrivals.malformed = arrivals.malformed.saturating_add(1);
            return sys::RL_RELEASE;
        }
        let to = slot.address.load(Ordering::Relaxed);
        if arrivals.items.push_back(Arrival::Message { to, src, len, at }).is_err() {
            arrivals.dropped = arrivals.dropped.saturating_add(1);
            return sys::RL_RELEASE;
        }
        sys::RL_HOLD
    })
}

/// The library's callback for announcements, called as [`message_arrived`].
///
/// # Safety
/// `private` is an `Inbox<MESSAGES>` that lives for good; `name` points to 32 readable bytes, which the other core may
/// change.
unsafe extern "C" fn channel_arrived<const MESSAGES: usize>(
    address: u32,
    name: *const c_char,
    flags: u32,
    private: *mut c_void,
) {
    let mut message = [0; NAME_SERVICE_BYTES];
    let (field, numbers) = message.split_at_mut(NAME_BYTES);
    // SAFETY: the library calls with a name of 32 bytes, in the message or copied; `field` is as long and ours.
    unsafe { ptr::copy_nonoverlapping(name.cast::<u8>(), field.as_mut_ptr(), NAME_BYTES) };
    let bytes = address.to_le_bytes().into_iter().chain(flags.to_le_bytes());
    numbers.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    // SAFETY: `create` gave the library the inbox of a storage that lives for good; it is only shared.
    let inbox = unsafe { &*private.cast_const().cast::<Inbox<MESSAGES>>() };
    critical_section::with(|token| {
        let mut arrivals = inbox.borrow_ref_mut(token);
        match NameService::from_bytes(&message).filter(|channel| !channel.name().is_empty()) {
            Some(channel) => {
                if arrivals.items.push_back(Arrival::Channel(channel)).is_err() {
                    arrivals.dropped = arrivals.dropped.saturating_add(1);
                }
            }
            None => arrivals.malformed = arrivals.malformed.saturating_add(1),
        }
    });
}

/// A buffer to be sent.
#[derive(Debug)]
#[must_use = "a buffer that is not sent is lost to the link until the instance ends"]
pub struct TxBuffer {
    owner: u32,
    at: usize,
    room: usize,
}

impl TxBuffer {
    /// Bytes of payload that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.room
    }
}

/// A received buffer.
#[derive(Debug)]
#[must_use = "a buffer that is not released is lost to the link until the instance ends"]
pub struct RxBuffer {
    owner: u32,
    at: usize,
    len: usize,
}

/// What happened to messages that nobody got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// The storage was full.
    pub full: u32,
    /// A length that no buffer has, a place outside the shared memory, or an announcement without a name.
    pub malformed: u32,
    /// The endpoint was destroyed before the message was taken.
    pub unknown: u32,
}

/// One side of a link, run by the library.
///
/// In a Linux process (feature `user-space`) the owner rings what `take_kick` says and calls `notified` when the other side
/// kicked; on a board the platform layer does both. Endpoints end with the instance.
#[derive(Debug)]
pub struct Instance<'m, const ENDPOINTS: usize, const MESSAGES: usize> {
    library: NonNull<sys::rpmsg_lite_instance>,
    name_service: *mut sys::rpmsg_ns_context,
    link_id: u32,
    /// Tells buffers of this instance from those of others, also of earlier ones on the same link.
    serial: u32,
    memory: Region<'m>,
    geometry: Geometry,
    inbox: &'static Inbox<MESSAGES>,
    slots: &'static [Slot<MESSAGES>; ENDPOINTS],
    endpoints: Vec<Live, ENDPOINTS>,
    /// Buffers that were not sent after all. They are the next to be used.
    spare: Vec<(usize, usize), TAKEN_MAX>,
    /// Buffers that the owner has.
    taken: usize,
}

// SAFETY: the library keeps nothing by thread, and the pointers are used by whoever owns the instance. Calls for different
// instances touch different parts of it, except creating and ending, which are under a lock.
unsafe impl<const ENDPOINTS: usize, const MESSAGES: usize> Send for Instance<'_, ENDPOINTS, MESSAGES> {}

/// An endpoint of the library.
#[derive(Debug, Clone, Copy)]
struct Live {
    address: u32,
    endpoint: NonNull<sys::rpmsg_lite_endpoint>,
    slot: usize,
}

static SERIAL: AtomicU32 = AtomicU32::new(0);

impl<'m, const ENDPOINTS: usize, const MESSAGES: usize> Instance<'m, ENDPOINTS, MESSAGES> {
    /// The master's side: sets rings and buffers up, one after the other from the start of `memory`, whose first byte the
    /// other core has at `address`.
    ///
    /// # Errors
    /// [`InitError`].
    pub fn master(
        memory: Region<'m>,
        address: u64,
        geometry: Geometry,
        link_id: u32,
        storage: &'static mut Storage<ENDPOINTS, MESSAGES>,
    ) -> Result<Self, InitError> {
        let len = memory.len();
        let instance = Self::create(memory, address, geometry, link_id, storage, |base| {
            // SAFETY: `base` is the start of `memory`, `len` bytes that stay mapped as long as the instance.
            unsafe { sys::rpmsg_lite_master_init(base, len, link_id, sys::RL_NO_FLAGS) }
        })?;
        // What the library took for granted when it was built shows in ring 0: all buffers are offered there.
        let entries = geometry.vring().entries();
        let offered = memory.load_u16(16 * usize::from(entries) + 2);
        let (first, last) = (memory.load_u32(8), memory.load_u32(16 * (usize::from(entries) - 1) + 8));
        let bytes = u32::try_from(geometry.buffer_bytes()).map_err(|_| InitError::Geometry)?;
        if offered != Ok(entries) || first != Ok(bytes) || last != Ok(bytes) {
            return Err(InitError::Configuration);
        }
        Ok(instance)
    }

    /// The remote's side, whose rings lie one after the other from the start of `memory`, and whose buffers lie somewhere
    /// in it. The other core has its first byte at `address`. The link is up after the master's first kick.
    ///
    /// # Errors
    /// [`InitError`].
    pub fn remote(
        memory: Region<'m>,
        address: u64,
        geometry: Geometry,
        link_id: u32,
        storage: &'static mut Storage<ENDPOINTS, MESSAGES>,
    ) -> Result<Self, InitError> {
        Self::create(memory, address, geometry, link_id, storage, |base| {
            // SAFETY: `base` is the start of `memory`, which has room for the rings and stays mapped as long as the
            // instance.
            unsafe { sys::rpmsg_lite_remote_init(base, link_id, sys::RL_NO_FLAGS) }
        })
    }

    fn create(
        memory: Region<'m>,
        address: u64,
        geometry: Geometry,
        link_id: u32,
        storage: &'static mut Storage<ENDPOINTS, MESSAGES>,
        init: impl FnOnce(*mut c_void) -> *mut sys::rpmsg_lite_instance,
    ) -> Result<Self, InitError> {
        check_geometry(geometry)?;
        let base = memory.as_ptr();
        let end = u64::try_from(memory.len()).ok().and_then(|len| address.checked_add(len));
        let reachable = end.is_some_and(|end| end <= u64::from(u32::MAX)) && address != 0;
        if memory.len() < geometry.bytes() || !base.addr().is_multiple_of(8) || !reachable {
            return Err(InitError::Memory);
        }
        let Storage { inbox, slots } = storage;
        let inbox: &'static Inbox<MESSAGES> = inbox;
        for slot in slots.iter_mut() {
            slot.inbox = Some(inbox);
        }
        critical_section::with(|token| {
            let mut arrivals = inbox.borrow_ref_mut(token);
            arrivals.items.clear();
            (arrivals.base, arrivals.len) = (base.addr(), memory.len());
            arrivals.payload_bytes_max = geometry.buffer_bytes() - HEADER_BYTES;
        });

        #[cfg(feature = "user-space")]
        prepare(memory, address, geometry, link_id)?;
        let inbox_pointer: *mut c_void = ptr::from_ref(inbox).cast_mut().cast();
        let made = alone(|| {
            enter(link_id, || {
                let library = NonNull::new(init(base.cast()))?;
                // SAFETY: a live instance; callback and inbox are as `channel_arrived` asks, for good.
                let name_service =
                    unsafe { sys::rpmsg_ns_bind(library.as_ptr(), Some(channel_arrived::<MESSAGES>), inbox_pointer) };
                if name_service.is_null() {
                    // SAFETY: a live instance that nobody else has.
                    unsafe { sys::rpmsg_lite_deinit(library.as_ptr()) };
                    return None;
                }
                Some((library, name_service))
            })
        });
        let Some((library, name_service)) = made else {
            #[cfg(feature = "user-space")]
            crate::user_space::unregister(link_id);
            return Err(InitError::Refused);
        };
        Ok(Self {
            library,
            name_service,
            link_id,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            memory,
            geometry,
            inbox,
            slots,
            endpoints: Vec::new(),
            spare: Vec::new(),
            taken: 0,
        })
    }

    /// What the library was asked to do, for the link of this instance.
    fn call<T>(&self, call: impl FnOnce(*mut sys::rpmsg_lite_instance) -> T) -> T {
        enter(self.link_id, || call(self.library.as_ptr()))
    }

    /// The other side kicked ring `kick`.
    #[cfg(feature = "user-space")]
    pub fn notified(&mut self, kick: u8) {
        let vector = self.link_id << 1 | u32::from(kick & 1);
        // SAFETY: the interrupt was registered for a live instance; callbacks go to storage that lives for good, and
        // nobody else calls for this instance at the same time.
        self.call(|_| unsafe { sys::env_isr(vector) });
    }

    /// The id of a kick that is due, if any. Call until it is `None`.
    #[cfg(feature = "user-space")]
    pub fn take_kick(&mut self) -> Option<u8> {
        crate::user_space::take_kick(self.link_id)
    }

    /// What happened to messages that nobody got.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        critical_section::with(|token| {
            let arrivals = self.inbox.borrow_ref(token);
            Dropped { full: arrivals.dropped, malformed: arrivals.malformed, unknown: arrivals.unknown }
        })
    }

    /// Sends a message, with up to `timeout_ms` of waiting in the library.
    ///
    /// # Errors
    /// As [`Rpmsg::send`].
    pub fn send_timeout(
        &mut self,
        from: Endpoint,
        dst: u32,
        payload: &[u8],
        timeout_ms: usize,
    ) -> Result<(), RpmsgError> {
        let live = self.check_send(from, dst, payload.len())?;
        let len = u32::try_from(payload.len()).map_err(|_| RpmsgError::Size)?;
        // SAFETY: a live instance and a live endpoint of it; `payload` has `len` bytes, which the library reads (the
        // header lacks a const) and does not keep.
        let sent = self.call(|library| unsafe {
            let data = payload.as_ptr().cast_mut().cast();
            sys::rpmsg_lite_send(library, live.endpoint.as_ptr(), dst, data, len, timeout_ms)
        });
        Ok(LibraryError::check(sent)?)
    }

    /// Announces a channel by the library's own means, which wait as long as it takes for a buffer.
    ///
    /// # Errors
    /// [`RpmsgError::UnknownEndpoint`], [`RpmsgError::NotReady`].
    pub fn announce_blocking(&mut self, endpoint: Endpoint, name: &CStr, destroyed: bool) -> Result<(), RpmsgError> {
        let live = self.live(endpoint)?;
        // SAFETY: a live instance and a live endpoint of it; the name ends with a NUL.
        let announced = self.call(|library| unsafe {
            sys::rpmsg_ns_announce(library, live.endpoint.as_ptr(), name.as_ptr(), u32::from(destroyed))
        });
        Ok(LibraryError::check(announced)?)
    }

    /// Waits up to `timeout_ms` for the link; whether it is up. (NXP's bare-metal environment waits as long as it takes.)
    pub fn wait_for_link_up(&mut self, timeout_ms: u32) -> bool {
        // SAFETY: a live instance.
        self.call(|library| unsafe { sys::rpmsg_lite_wait_for_link_up(library, timeout_ms) }) == 1
    }

    fn live(&self, endpoint: Endpoint) -> Result<Live, RpmsgError> {
        let found = self.endpoints.iter().find(|live| live.address == endpoint.address());
        found.copied().ok_or(RpmsgError::UnknownEndpoint)
    }

    fn check_send(&mut self, from: Endpoint, dst: u32, len: usize) -> Result<Live, RpmsgError> {
        let live = self.live(from)?;
        if dst == ADDRESS_ANY {
            return Err(RpmsgError::Address);
        }
        if len == 0 || len > self.payload_bytes_max() {
            return Err(RpmsgError::Size);
        }
        if self.is_link_up() { Ok(live) } else { Err(RpmsgError::NotReady) }
    }

    /// The place of a payload in this process.
    fn place(&self, at: usize) -> *mut c_void {
        self.memory.as_ptr().wrapping_add(at).cast()
    }

    /// Keeps a buffer that was not sent for the next time.
    fn put_back(&mut self, at: usize, room: usize) {
        // There is room: no more buffers are taken than it has.
        let _ = self.spare.push((at, room));
    }

    fn next_arrival(&self) -> Option<Arrival> {
        critical_section::with(|token| self.inbox.borrow_ref_mut(token).items.pop_front())
    }

    fn give_back(&self, at: usize) -> Result<(), RpmsgError> {
        let payload = self.place(at);
        // SAFETY: a live instance; the payload's buffer was held by a callback of this instance and is given back once:
        // it was taken out of the inbox, or came in an `RxBuffer`, which cannot be copied.
        let released = self.call(|library| unsafe { sys::rpmsg_lite_release_rx_buffer(library, payload) });
        LibraryError::check(released).map_err(|_| RpmsgError::Fault(Fault::Descriptor))
    }
}

/// Whether the library can work with a geometry: it must be the one that it was built with, unless it asks for it at run
/// time.
///
/// # Errors
/// [`InitError::Geometry`].
pub fn check_geometry(geometry: Geometry) -> Result<(), InitError> {
    let vring = geometry.vring();
    let found = [
        geometry.buffer_bytes() - HEADER_BYTES,
        vring.entries().into(),
        geometry.vring_bytes(),
        vring.align() as usize,
    ];
    let built = [config::BUFFER_PAYLOAD_SIZE, config::BUFFER_COUNT, config::VRING_SIZE, config::VRING_ALIGN];
    let same = found.iter().zip(built).all(|(found, built)| u32::try_from(*found) == Ok(built));
    // The library asks for powers of two.
    let possible = cfg!(rl_custom_shmem) && geometry.buffer_bytes().is_power_of_two();
    if same || possible { Ok(()) } else { Err(InitError::Geometry) }
}

/// Tells the platform layer about a link's memory.
#[cfg(feature = "user-space")]
fn prepare(memory: Region<'_>, address: u64, geometry: Geometry, link_id: u32) -> Result<(), InitError> {
    use crate::user_space::{LINK_ID_MAX, Memory, register};
    if link_id > LINK_ID_MAX {
        return Err(InitError::LinkId);
    }
    let address = usize::try_from(address).map_err(|_| InitError::Memory)?;
    let memory = Memory { base: memory.as_ptr(), len: memory.len(), address, geometry };
    if register(link_id, memory) { Ok(()) } else { Err(InitError::LinkInUse) }
}

#[cfg(feature = "user-space")]
use crate::user_space::enter;

/// On a board the platform layer translates addresses the same way for all links.
#[cfg(not(feature = "user-space"))]
fn enter<T>(_link_id: u32, call: impl FnOnce() -> T) -> T {
    call()
}

/// Runs a call that touches what all instances share.
#[cfg(feature = "user-space")]
fn alone<T>(call: impl FnOnce() -> T) -> T {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    call()
}

/// On a board instances are created and ended by one task.
#[cfg(not(feature = "user-space"))]
fn alone<T>(call: impl FnOnce() -> T) -> T {
    call()
}

impl<const ENDPOINTS: usize, const MESSAGES: usize> Rpmsg for Instance<'_, ENDPOINTS, MESSAGES> {
    fn is_link_up(&mut self) -> bool {
        // SAFETY: a live instance.
        self.call(|library| unsafe { sys::rpmsg_lite_is_link_up(library) }) == 1
    }

    fn payload_bytes_max(&self) -> usize {
        self.geometry.buffer_bytes() - HEADER_BYTES
    }

    fn create_endpoint(&mut self, address: u32) -> Result<Endpoint, RpmsgError> {
        if address == NAME_SERVICE_ADDRESS || self.endpoints.iter().any(|live| live.address == address) {
            return Err(RpmsgError::Address);
        }
        let free = (0..ENDPOINTS).find(|slot| self.endpoints.iter().all(|live| live.slot != *slot));
        let slot = free.ok_or(RpmsgError::Endpoints)?;
        let context = self.slots.get(slot).ok_or(RpmsgError::Endpoints)?;
        let private: *mut c_void = ptr::from_ref(context).cast_mut().cast();
        // A message can come before the address is known; that of a fixed endpoint is known now.
        context.address.store(address, Ordering::Relaxed);
        // SAFETY: a live instance; callback and slot are as `message_arrived` asks, for good.
        let created = self.call(|library| unsafe {
            sys::rpmsg_lite_create_ept(library, address, Some(message_arrived::<MESSAGES>), private)
        });
        let endpoint = NonNull::new(created).ok_or(RpmsgError::Endpoints)?;
        // SAFETY: the library returned an endpoint, which is its own until it is destroyed, and does not change it.
        let address = unsafe { (*endpoint.as_ptr()).addr };
        context.address.store(address, Ordering::Relaxed);
        self.endpoints.push(Live { address, endpoint, slot }).map_err(|_| RpmsgError::Endpoints)?;
        Ok(Endpoint::from_address(address))
    }

    fn destroy_endpoint(&mut self, endpoint: Endpoint) -> Result<(), RpmsgError> {
        let live = self.live(endpoint)?;
        // SAFETY: a live instance and a live endpoint of it, which is forgotten right after.
        let destroyed = self.call(|library| unsafe { sys::rpmsg_lite_destroy_ept(library, live.endpoint.as_ptr()) });
        self.endpoints.retain(|other| other.slot != live.slot);
        Ok(LibraryError::check(destroyed)?)
    }

    fn announce(&mut self, endpoint: Endpoint, name: &str, destroyed: bool) -> Result<(), RpmsgError> {
        // The library's function waits for a buffer for ever; the message is the same.
        let message = NameService::new(name, endpoint.address(), destroyed).ok_or(RpmsgError::Name)?;
        self.send(endpoint, NAME_SERVICE_ADDRESS, &message.to_bytes())
    }

    fn send(&mut self, from: Endpoint, dst: u32, payload: &[u8]) -> Result<(), RpmsgError> {
        let Some((at, room)) = self.spare.pop() else {
            return self.send_timeout(from, dst, payload, sys::RL_DONT_BLOCK);
        };
        let mut buffer = TxBuffer { owner: self.serial, at, room };
        self.taken += 1;
        let written = self.write(&mut buffer, 0, payload);
        // With a length that does not fit the buffer is put back by the check of lengths.
        self.send_nocopy(from, dst, buffer, if written.is_ok() { payload.len() } else { usize::MAX })
    }

    fn receive(&mut self, payload: &mut [u8]) -> Result<Option<Received>, RpmsgError> {
        match self.receive_held()? {
            None => Ok(None),
            Some(Held::Channel(channel)) => Ok(Some(Received::Channel(channel))),
            Some(Held::Message { endpoint, src, len, buffer }) => {
                let copied = payload.get_mut(..len).ok_or(RpmsgError::Size).and_then(|to| self.read(&buffer, 0, to));
                self.release(buffer)?;
                copied.map(|()| Some(Received::Message { endpoint, src, len }))
            }
        }
    }

    fn want_buffer_kick(&mut self, _wanted: bool) -> Result<(), RpmsgError> {
        // The library has no such wish: it looks at the ring every millisecond. Its remote kicks for each buffer that it
        // gives back if it was built to.
        Ok(())
    }
}

impl<const ENDPOINTS: usize, const MESSAGES: usize> ZeroCopy for Instance<'_, ENDPOINTS, MESSAGES> {
    type Tx = TxBuffer;
    type Rx = RxBuffer;

    fn alloc_tx(&mut self) -> Result<TxBuffer, RpmsgError> {
        if !self.is_link_up() {
            return Err(RpmsgError::NotReady);
        }
        if self.taken + self.spare.len() >= TAKEN_MAX && self.spare.is_empty() {
            return Err(RpmsgError::NoBuffer);
        }
        let (at, room) = match self.spare.pop() {
            Some(spare) => spare,
            None => {
                let mut size = 0;
                // SAFETY: a live instance and a place for the size.
                let payload = self.call(|library| unsafe {
                    sys::rpmsg_lite_alloc_tx_buffer(library, &raw mut size, sys::RL_DONT_BLOCK)
                });
                if payload.is_null() {
                    return Err(RpmsgError::NoBuffer);
                }
                let room = usize::try_from(size).unwrap_or(usize::MAX).min(self.payload_bytes_max());
                (payload.addr().wrapping_sub(self.memory.as_ptr().addr()), room)
            }
        };
        self.taken += 1;
        Ok(TxBuffer { owner: self.serial, at, room })
    }

    fn write(&mut self, buffer: &mut TxBuffer, offset: usize, bytes: &[u8]) -> Result<(), RpmsgError> {
        let end = offset.checked_add(bytes.len()).filter(|end| *end <= buffer.room).ok_or(RpmsgError::Size)?;
        let fits = buffer.owner == self.serial && end <= self.memory.len();
        let at = buffer.at.checked_add(offset).filter(|_| fits).ok_or(RpmsgError::Size)?;
        // The region checks again: a place outside it is nobody's buffer.
        self.memory.write(at, bytes).map_err(|_| RpmsgError::Size)
    }

    fn send_nocopy(&mut self, from: Endpoint, dst: u32, buffer: TxBuffer, len: usize) -> Result<(), RpmsgError> {
        let TxBuffer { owner, at, room } = buffer;
        if owner != self.serial {
            return Err(RpmsgError::Fault(Fault::Descriptor));
        }
        self.taken = self.taken.saturating_sub(1);
        let checked = self.check_send(from, dst, len).and_then(|live| {
            let len = u32::try_from(len).ok().filter(|_| len <= room).ok_or(RpmsgError::Size)?;
            let payload = self.place(at);
            // SAFETY: a live instance and a live endpoint of it; the buffer came from the library and was not sent yet.
            let sent = self.call(|library| unsafe {
                sys::rpmsg_lite_send_nocopy(library, live.endpoint.as_ptr(), dst, payload, len)
            });
            Ok(LibraryError::check(sent)?)
        });
        if checked.is_err() {
            self.put_back(at, room);
        }
        checked
    }

    fn receive_held(&mut self) -> Result<Option<Held<RxBuffer>>, RpmsgError> {
        while let Some(arrival) = self.next_arrival() {
            match arrival {
                Arrival::Channel(channel) => return Ok(Some(Held::Channel(channel))),
                Arrival::Message { to, src, len, at } => {
                    if self.endpoints.iter().any(|live| live.address == to) {
                        let buffer = RxBuffer { owner: self.serial, at, len };
                        return Ok(Some(Held::Message { endpoint: Endpoint::from_address(to), src, len, buffer }));
                    }
                    critical_section::with(|token| {
                        let mut arrivals = self.inbox.borrow_ref_mut(token);
                        arrivals.unknown = arrivals.unknown.saturating_add(1);
                    });
                    self.give_back(at)?;
                }
            }
        }
        Ok(None)
    }

    fn read(&self, buffer: &RxBuffer, offset: usize, to: &mut [u8]) -> Result<(), RpmsgError> {
        let end = offset.checked_add(to.len()).filter(|end| *end <= buffer.len).ok_or(RpmsgError::Size)?;
        let at = buffer.at.checked_add(offset).filter(|_| buffer.owner == self.serial && end <= self.memory.len());
        self.memory.read(at.ok_or(RpmsgError::Size)?, to).map_err(|_| RpmsgError::Size)
    }

    fn release(&mut self, buffer: RxBuffer) -> Result<(), RpmsgError> {
        if buffer.owner != self.serial {
            return Err(RpmsgError::Fault(Fault::Descriptor));
        }
        self.give_back(buffer.at)
    }
}

impl<const ENDPOINTS: usize, const MESSAGES: usize> Drop for Instance<'_, ENDPOINTS, MESSAGES> {
    fn drop(&mut self) {
        alone(|| {
            self.call(|library| {
                // SAFETY: a live instance with this binding and these endpoints, none of which is used again: `self`
                // ends. The library allocated all of them and frees only the instance by itself.
                unsafe {
                    sys::rpmsg_ns_unbind(library, self.name_service);
                    for live in &self.endpoints {
                        sys::rpmsg_lite_destroy_ept(library, live.endpoint.as_ptr());
                    }
                    sys::rpmsg_lite_deinit(library);
                }
            });
        });
        #[cfg(feature = "user-space")]
        crate::user_space::unregister(self.link_id);
    }
}
