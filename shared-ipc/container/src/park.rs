//! Calls that wait: what for, and how they go on.

use alloc::vec::Vec;

use coracle_guest_abi::{Call, Errno, EventKind, SensorInfo, wasi};
use coracle_migrate::snapshot::PinUse;

use crate::calls::{Guest, PollSub};
use crate::{DeviceAnswer, DeviceCall, Host, OwnedEvent};

/// What a parked container waits for, as its supervisor sees it. The time is in [`Host::deadline_us`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting<'a> {
    /// The next event of these kinds (bits): give it with [`Host::deliver`].
    Event {
        /// See [`EventKind::bit`].
        kinds: u32,
    },
    /// To know that an event waits: say so with [`Host::notice`].
    Notice,
    /// The time alone.
    Time,
    /// A device: give its answer with [`Host::answer`].
    Device(&'a DeviceCall),
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) call: Call,
    pub(crate) wait: Wait,
    ready: Option<Ready>,
}

#[derive(Debug)]
pub(crate) enum Wait {
    Event {
        kinds: u32,
        until_us: Option<u64>,
        record: usize,
    },
    Sleep {
        until_us: u64,
    },
    Poll {
        until_us: Option<u64>,
        notice: bool,
        /// On the heap, because every call's result has room for the largest wait.
        subs: Vec<PollSub>,
        out: usize,
        count: usize,
    },
    Device {
        call: DeviceCall,
        out: usize,
        cap: usize,
    },
}

#[derive(Debug)]
enum Ready {
    /// It became the event being handled.
    Event,
    Notice,
    TimeOver,
    Answer(Result<DeviceAnswer, Errno>),
}

impl Parked {
    pub(crate) fn new(call: Call, wait: Wait) -> Self {
        Self { call, wait, ready: None }
    }

    /// When it goes on at the latest, on the container's clock.
    pub(crate) fn until_us(&self) -> Option<u64> {
        if self.ready.is_some() {
            return None;
        }
        match &self.wait {
            Wait::Event { until_us, .. } | Wait::Poll { until_us, .. } => *until_us,
            Wait::Sleep { until_us } => Some(*until_us),
            Wait::Device { .. } => None,
        }
    }
}

impl<M, L> Host<M, L> {
    /// What the container waits for; `None` when it is not parked, or what it waits for has come.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting<'_>> {
        let parked = self.parked.as_ref().filter(|p| p.ready.is_none())?;
        Some(match &parked.wait {
            Wait::Event { kinds, .. } => Waiting::Event { kinds: *kinds },
            Wait::Poll { notice: true, .. } => Waiting::Notice,
            Wait::Poll { .. } | Wait::Sleep { .. } => Waiting::Time,
            Wait::Device { call, .. } => Waiting::Device(call),
        })
    }

    /// Whether it is parked, ready to go on or not.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Gives a waiting container its event; gives it back when it does not wait for one of that kind.
    ///
    /// # Errors
    /// The event.
    pub fn deliver(&mut self, event: OwnedEvent) -> Result<(), OwnedEvent> {
        match self.waiting() {
            Some(Waiting::Event { kinds }) if kinds & event.kind.bit() != 0 => {
                self.event_done();
                self.event = Some(event);
                self.ready(Ready::Event);
                Ok(())
            }
            _ => Err(event),
        }
    }

    /// Tells a container that waits for it that an event waits in its queue.
    pub fn notice(&mut self) {
        if self.waiting() == Some(Waiting::Notice) {
            self.ready(Ready::Notice);
        }
    }

    /// Gives the answer to the device call that the container waits for; otherwise does nothing.
    pub fn answer(&mut self, answer: Result<DeviceAnswer, Errno>) {
        if matches!(self.waiting(), Some(Waiting::Device(_))) {
            self.ready(Ready::Answer(answer));
        }
    }

    /// Ends the wait if its time is over. Call [`Host::set_now`] before; an event that is there comes first.
    pub fn poll(&mut self) {
        let now = self.state.clock_us;
        if self.parked.as_ref().and_then(Parked::until_us).is_some_and(|until| until <= now) {
            self.ready(Ready::TimeOver);
        }
    }

    fn ready(&mut self, ready: Ready) {
        if let Some(parked) = &mut self.parked {
            parked.ready = Some(ready);
        }
    }

    /// Whether the wait is over that was for something outside the container, so that its budget for one event begins
    /// anew. A device is part of the event.
    #[must_use]
    pub fn is_new_turn(&self) -> bool {
        self.parked.as_ref().is_some_and(|p| p.ready.is_some() && !matches!(p.wait, Wait::Device { .. }))
    }

    /// Goes on: writes what came into the guest's memory and returns the call's result. `None` while it has to wait.
    pub fn resume(&mut self, memory: &mut [u8]) -> Option<i64> {
        let parked = self.parked.take_if(|p| p.ready.is_some())?;
        let ready = parked.ready?;
        let mut guest = Guest { memory };
        let result = match (parked.wait, ready) {
            (Wait::Event { record, .. }, Ready::Event) => match &self.event {
                Some(event) => guest.write(record, &event.record().to_bytes()).map(|()| 0),
                None => Err(Errno::Again),
            },
            (Wait::Event { .. }, _) => Err(Errno::TimedOut),
            (Wait::Sleep { .. }, _) => Ok(0),
            (Wait::Poll { subs, out, count, .. }, ready) => {
                let noticed = matches!(ready, Ready::Notice);
                crate::calls::poll_done(&mut guest, &subs, out, count, self.state.clock_us, noticed).map(|()| 0)
            }
            (Wait::Device { call, out, cap }, Ready::Answer(answer)) => {
                answer.and_then(|answer| self.device_result(&mut guest, &call, answer, out, cap))
            }
            (Wait::Device { .. }, _) => Err(Errno::Io),
        };
        Some(match result {
            Ok(value) => value,
            Err(e) if parked.call.is_wasi() => i64::from(wasi::errno(e)),
            Err(e) => i64::from(e.as_result()),
        })
    }

    fn device_result(
        &mut self,
        guest: &mut Guest<'_>,
        call: &DeviceCall,
        answer: DeviceAnswer,
        out: usize,
        cap: usize,
    ) -> Result<i64, Errno> {
        // An answer may come from the other core: what does not fit the call is no answer.
        match (call, answer) {
            (DeviceCall::PinRead { .. }, DeviceAnswer::Level(high)) => Ok(i64::from(high)),
            (DeviceCall::PinWrite { .. }, DeviceAnswer::Done) => Ok(0),
            (DeviceCall::PinWatch { label, edges, debounce_us }, DeviceAnswer::Done) => {
                if let Some(index) = self.spec.grants.pins.iter().position(|p| p.label == *label)
                    && let Some(pin) = self.state.pins.get_mut(index)
                {
                    *pin = PinUse { edges: *edges, debounce_us: *debounce_us };
                }
                Ok(0)
            }
            (DeviceCall::I2c { .. } | DeviceCall::Spi { .. }, DeviceAnswer::Bytes(bytes)) if bytes.len() == cap => {
                guest.write_cut(out, cap, &bytes)
            }
            (DeviceCall::SensorInfo { name }, DeviceAnswer::Info(info)) => {
                let grants = &self.spec.grants.sensors;
                let index = grants.iter().position(|s| s.name == *name).ok_or(Errno::Denied)?;
                let granted = grants.get(index).map_or(0, |s| s.rate_hz);
                let most = if granted == 0 { info.rate_hz } else { info.rate_hz.min(granted) };
                let asked = self.state.sensors.get(index).map_or(0, |s| s.rate_hz);
                let rate_hz = if asked == 0 { most } else { asked.min(most) };
                let info = SensorInfo { rate_hz, rate_max_hz: most, ..info };
                guest.write(out, &info.to_bytes()).map(|()| 0)
            }
            _ => Err(Errno::Io),
        }
    }
}

/// The kinds that `msg.wait` waits for.
pub(crate) fn message_kinds() -> u32 {
    EventKind::Message.bit() | EventKind::Request.bit() | EventKind::Reply.bit()
}
