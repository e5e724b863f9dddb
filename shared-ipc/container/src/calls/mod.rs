//! The meaning of every host call, over a guest's memory and its [`Host`].
//!
//! Every argument comes from a guest: numbers are checked before they are used, memory is reached through [`Guest`]
//! alone, and work is bounded by constants, because no fuel is charged for it.

mod bus;
mod event;
mod msg;
mod sensor;
mod small;
mod wasi;

use coracle_guest_abi::{Call, Errno, GRANTS_MAX, NAME_BYTES_MAX, PARAMS_MAX, wasi as numbers};

use crate::Host;
use crate::park::{Parked, Wait};

pub(crate) use wasi::{PollSub, poll_done};

/// The arguments of a call. Missing ones are 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct Args(pub [u64; PARAMS_MAX]);

impl Args {
    /// An `i32` as the unsigned number that addresses, lengths and handles are.
    fn word(&self, n: usize) -> usize {
        self.int(n).cast_unsigned() as usize
    }

    #[expect(clippy::cast_possible_truncation, reason = "an i32 parameter has no more bits")]
    fn int(&self, n: usize) -> i32 {
        self.0.get(n).map_or(0, |v| *v as u32).cast_signed()
    }

    fn long(&self, n: usize) -> u64 {
        self.0.get(n).copied().unwrap_or(0)
    }
}

/// What the engine has to do after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Return this, as the result type of the import.
    Return(i64),
    /// Suspend the guest until [`Host::resume`] gives the result.
    Park,
    /// End the guest with this exit code.
    Exit(i32),
}

/// What a call returns when it succeeds.
enum Done {
    Value(i64),
    Park(Wait),
    Exit(i32),
}

type Reply = Result<Done, Errno>;

const OK: Reply = Ok(Done::Value(0));

fn value(n: usize) -> Reply {
    i32::try_from(n).map(|n| Done::Value(n.into())).map_err(|_| Errno::TooLarge)
}

/// Carries out `call`. Set the host's clock before.
pub fn dispatch<M, L>(call: Call, args: &Args, memory: &mut [u8], host: &mut Host<M, L>) -> Outcome {
    host.work = host.work.saturating_add(1);
    let mut guest = Guest { memory };
    let g = &mut guest;
    let reply = match call {
        Call::LogWrite => small::log_write(args, g, host),
        Call::ConfigGet => small::config_get(args, g, host),
        Call::ConfigVersion => Ok(Done::Value(host.state.config_version.cast_signed().into())),
        Call::EventRead => event::read(args, g, host),
        Call::EventCurrent => event::current(args, g, host),
        Call::EventWait => event::wait(args, g, host),
        Call::MsgWait => event::wait_message(args, g, host),
        Call::TimeNow => Ok(Done::Value(host.state.clock_us.cast_signed())),
        Call::TimeSetTimer => event::set_timer(args, host),
        Call::TimeCancel => event::cancel_timer(args, host),
        Call::TimeRemaining => event::timer_remaining(args, host),
        Call::TimeSleep => event::sleep(args, host),
        Call::SensorOpen => sensor::open(args, g, host),
        Call::SensorClose => sensor::close(args, host),
        Call::SensorInfo => sensor::info(args, g, host),
        Call::SensorReadBlock => sensor::read_block(args, g, host),
        Call::SensorSetRate => sensor::set_rate(args, host),
        Call::SensorSetThreshold => sensor::set_threshold(args, host),
        Call::GpioOpen => bus::gpio_open(args, g, host),
        Call::GpioRead => bus::gpio_read(args, host),
        Call::GpioWrite => bus::gpio_write(args, host),
        Call::GpioWatch => bus::gpio_watch(args, host),
        Call::I2cOpen => bus::i2c_open(args, g, host),
        Call::I2cWriteRead => bus::i2c_write_read(args, g, host),
        Call::SpiOpen => bus::spi_open(args, g, host),
        Call::SpiTransfer => bus::spi_transfer(args, g, host),
        Call::GpioClose => close(Kind::Pin, args, host),
        Call::I2cClose => close(Kind::I2c, args, host),
        Call::SpiClose => close(Kind::Spi, args, host),
        Call::MsgPublish => msg::publish(args, g, host, false),
        Call::MsgPublishRetained => msg::publish(args, g, host, true),
        Call::MsgSubscribe => msg::subscribe(args, g, host),
        Call::MsgUnsubscribe => msg::unsubscribe(args, g, host),
        Call::MsgRequest => msg::request(args, g, host),
        Call::MsgReply => msg::reply(args, g, host),
        Call::KvGet => small::kv_get(args, g, host),
        Call::KvSet => small::kv_set(args, g, host),
        Call::KvDelete => small::kv_delete(args, g, host),
        Call::KvNext => small::kv_next(args, g, host),
        Call::WakeRequest => msg::wake(args, g, host),
        _ => wasi::dispatch(call, args, g, host),
    };
    match reply {
        Ok(Done::Value(value)) => Outcome::Return(value),
        Ok(Done::Exit(code)) => Outcome::Exit(code),
        Ok(Done::Park(wait)) => {
            // A device is part of the event: a line may go on after it.
            if !matches!(wait, Wait::Device { .. }) {
                host.end_lines();
            }
            host.parked = Some(Parked::new(call, wait));
            Outcome::Park
        }
        Err(e) => {
            if e == Errno::Denied {
                host.refused(call, guest.named(call, args));
            }
            Outcome::Return(if call.is_wasi() { numbers::errno(e).into() } else { e.as_result().into() })
        }
    }
}

/// A guest's memory. Nothing is written that was not checked, and a refused call leaves it as it was.
pub(crate) struct Guest<'a> {
    pub(crate) memory: &'a mut [u8],
}

impl Guest<'_> {
    fn range(&self, at: usize, len: usize) -> Result<core::ops::Range<usize>, Errno> {
        let end = at.checked_add(len).filter(|end| *end <= self.memory.len()).ok_or(Errno::Fault)?;
        Ok(at..end)
    }

    fn bytes(&self, at: usize, len: usize) -> Result<&[u8], Errno> {
        self.memory.get(self.range(at, len)?).ok_or(Errno::Fault)
    }

    /// The bytes if they are at most `max`.
    fn payload(&self, at: usize, len: usize, max: usize) -> Result<&[u8], Errno> {
        let bytes = self.bytes(at, len)?;
        if len > max { Err(Errno::TooLarge) } else { Ok(bytes) }
    }

    /// A name; the limit comes before the work.
    fn name(&self, at: usize, len: usize) -> Result<&str, Errno> {
        core::str::from_utf8(self.payload(at, len, NAME_BYTES_MAX)?).map_err(|_| Errno::Invalid)
    }

    fn u32(&self, at: usize) -> Result<u32, Errno> {
        self.bytes(at, 4)?.try_into().map(u32::from_le_bytes).map_err(|_| Errno::Fault)
    }

    fn u64(&self, at: usize) -> Result<u64, Errno> {
        self.bytes(at, 8)?.try_into().map(u64::from_le_bytes).map_err(|_| Errno::Fault)
    }

    /// Writes all of `data`.
    pub(crate) fn write(&mut self, at: usize, data: &[u8]) -> Result<(), Errno> {
        let range = self.range(at, data.len())?;
        if let Some(to) = self.memory.get_mut(range) {
            to.copy_from_slice(data);
        }
        Ok(())
    }

    /// Writes as much of `data` as fits `cap` and returns the whole length, so that a guest sees when its buffer was too
    /// small.
    pub(crate) fn write_cut(&mut self, at: usize, cap: usize, data: &[u8]) -> Result<i64, Errno> {
        self.write(at, data.get(..cap).unwrap_or(data))?;
        i32::try_from(data.len()).map(i64::from).map_err(|_| Errno::TooLarge)
    }

    /// What a refused call named, for the log.
    fn named(&self, call: Call, args: &Args) -> &str {
        match call {
            Call::I2cWriteRead | Call::GpioWrite | Call::GpioWatch => "",
            _ => self.name(args.word(0), args.word(1)).unwrap_or(""),
        }
    }
}

/// The kinds of handle. A handle is `kind * GRANTS_MAX` plus the index of the grant, so that it means the same wherever
/// the container is.
#[derive(Clone, Copy)]
enum Kind {
    Sensor = 0,
    Pin = 1,
    I2c = 2,
    Spi = 3,
}

/// Opens the grant with that index.
fn open<M, L>(kind: Kind, index: Option<usize>, host: &mut Host<M, L>) -> Reply {
    let index = index.ok_or(Errno::Denied)?;
    let handle = kind as usize * GRANTS_MAX + index;
    let bit = 1_u32 << (handle % 32);
    if host.state.handles & bit == 0 && host.state.handles.count_ones() >= u32::from(host.spec.limits.handles) {
        return Err(Errno::NoSpace);
    }
    host.state.handles |= bit;
    value(handle)
}

/// The index of the grant behind an open handle.
fn opened<M, L>(kind: Kind, handle: usize, host: &Host<M, L>) -> Result<usize, Errno> {
    let index = handle.checked_sub(kind as usize * GRANTS_MAX).filter(|i| *i < GRANTS_MAX).ok_or(Errno::BadHandle)?;
    // Below 32 by the line above.
    if host.state.handles & (1_u32 << (handle % 32)) == 0 { Err(Errno::BadHandle) } else { Ok(index) }
}

fn close<M, L>(kind: Kind, args: &Args, host: &mut Host<M, L>) -> Reply {
    let handle = args.word(0);
    opened(kind, handle, host)?;
    host.state.handles &= !(1_u32 << (handle % 32));
    OK
}
