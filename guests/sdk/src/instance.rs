//! The one instance of a guest in its module.
#![expect(unsafe_code, reason = "a static that exports may change, in a module without threads")]

use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;

use crate::{Errno, Event, Guest};

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// Not made yet. Zero, so that the static needs no data segment.
    Empty = 0,
    /// Between calls.
    Ready = 1,
    /// Inside a call, or a call never returned.
    Busy = 2,
}

/// Where [`crate::guest!`] keeps the instance. The value comes first: its address is that of the static.
#[doc(hidden)]
#[repr(C)]
pub struct Instance<G> {
    value: UnsafeCell<MaybeUninit<G>>,
    state: Cell<State>,
}

// SAFETY: wasm32 modules here are built without threads (the core refuses shared memories), so no second thread can
// reach the cells.
#[cfg(target_arch = "wasm32")]
unsafe impl<G> Sync for Instance<G> {}

impl<G: Guest> Instance<G> {
    /// An empty place.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only made in a static")]
    pub const fn new() -> Self {
        Self { value: UnsafeCell::new(MaybeUninit::uninit()), state: Cell::new(State::Empty) }
    }

    /// The export `init`.
    pub fn init(&self) -> i32 {
        if self.state.get() != State::Empty {
            return Errno::Invalid.as_result();
        }
        self.state.set(State::Busy);
        match G::init() {
            Ok(guest) => {
                // SAFETY: the state was `Empty` and is `Busy` since, so no reference to the value exists.
                unsafe { (*self.value.get()).write(guest) };
                self.state.set(State::Ready);
                0
            }
            Err(errno) => {
                self.state.set(State::Empty);
                errno.as_result()
            }
        }
    }

    /// The export `on_event`.
    pub fn on_event(&self, kind: i32, source: i32, len: i32) -> i32 {
        if self.state.get() != State::Ready {
            return Errno::Invalid.as_result();
        }
        let event = match Event::from_args(kind, source, len) {
            Ok(event) => event,
            Err(errno) => return errno.as_result(),
        };
        self.state.set(State::Busy);
        // SAFETY: `Ready` is only set after the value was written, and `Busy` keeps every other call away from it until
        // this reference is gone.
        let guest = unsafe { (*self.value.get()).assume_init_mut() };
        let result = guest.on_event(event);
        self.state.set(State::Ready);
        result.map_or_else(Errno::as_result, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    struct Sum(usize);

    impl Guest for Sum {
        fn init() -> Result<Self, Errno> {
            Ok(Self(0))
        }

        fn on_event(&mut self, event: Event) -> Result<(), Errno> {
            let Event::Message { len, .. } = event else { return Err(Errno::Denied) };
            self.0 += len;
            if self.0 > 10 { Err(Errno::TooLarge) } else { Ok(()) }
        }
    }

    #[test]
    fn events_need_one_init_and_keep_the_state() {
        let instance = Instance::<Sum>::new();
        assert_eq!(instance.on_event(2, 0, 1), -22, "before init");
        assert_eq!(instance.init(), 0);
        assert_eq!(instance.init(), -22, "twice");
        assert_eq!(instance.on_event(2, 0, 6), 0);
    }

    #[test]
    fn results_cross_as_errno() {
        let instance = Instance::<Sum>::new();
        assert_eq!(instance.init(), 0);
        assert_eq!(instance.on_event(2, 0, 6), 0);
        assert_eq!(instance.on_event(9, 0, 6), -22, "unknown kind");
        assert_eq!(instance.on_event(3, 0, 6), -13);
        assert_eq!(instance.on_event(2, 0, 6), -90, "6 + 6: the state was kept");
    }

    struct Failing;

    impl Guest for Failing {
        fn init() -> Result<Self, Errno> {
            Err(Errno::NoEntry)
        }

        fn on_event(&mut self, _event: Event) -> Result<(), Errno> {
            Ok(())
        }
    }

    #[test]
    fn a_failed_init_leaves_no_instance() {
        let instance = Instance::<Failing>::new();
        assert_eq!(instance.init(), -2);
        assert_eq!(instance.on_event(2, 0, 0), -22);
    }

    struct Reentrant;

    std::thread_local! {
        static INNER: Instance<Reentrant> = const { Instance::new() };
    }

    impl Guest for Reentrant {
        fn init() -> Result<Self, Errno> {
            if INNER.with(Instance::init) == -22 { Ok(Self) } else { Err(Errno::Denied) }
        }

        fn on_event(&mut self, _event: Event) -> Result<(), Errno> {
            let inner = INNER.with(|instance| (instance.init(), instance.on_event(3, 0, 0)));
            if inner == (-22, -22) { Err(Errno::Denied) } else { Ok(()) }
        }
    }

    #[test]
    fn a_call_from_within_a_call_reaches_no_second_reference() {
        INNER.with(|instance| {
            assert_eq!(instance.init(), 0);
            assert_eq!(instance.on_event(3, 0, 0), -13);
        });
    }
}
