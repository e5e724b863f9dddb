//! The subset of `wasi_snapshot_preview1` that exists on both cores. Files are the A core's own.
//!
//! Layouts and meanings: the WASI preview 1 documents. Descriptors 0, 1 and 2 are the queue of events, the log and the
//! log; there are no others here.

use alloc::format;
use alloc::vec::Vec;

use coracle_guest_abi::{Call, Errno, wasi};
use sha2::{Digest, Sha256};

use super::{Args, Done, Guest, OK, Reply};
use crate::Host;
use crate::park::Wait;

/// Most subscriptions of one `poll_oneoff`.
const SUBSCRIPTIONS_MAX: usize = 8;
/// Most buffers of one `fd_write` that are looked at, and most bytes that are taken; the guest is told how many were.
const BUFFERS_MAX: usize = 16;
const WRITE_BYTES_MAX: usize = 1024;
/// Most bytes of one `random_get`.
const RANDOM_BYTES_MAX: usize = 1024;

const SUBSCRIPTION_BYTES: usize = 48;
const EVENT_BYTES: usize = 32;
const REALTIME: usize = 0;
const MONOTONIC: usize = 1;
const NANOS_PER_MICRO: u64 = 1000;

/// What one subscription waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PollSub {
    userdata: u64,
    what: Poll,
}

#[derive(Debug, Clone, Copy)]
enum Poll {
    /// The container's clock, in microseconds.
    Clock(u64),
    /// An event waits.
    Event,
    /// Always possible.
    Write,
    /// Never; the kind of subscription and the reason.
    Refused(u8, u16),
}

pub(super) fn dispatch<M, L>(call: Call, args: &Args, guest: &mut Guest<'_>, host: &mut Host<M, L>) -> Reply {
    match call {
        Call::WasiArgsSizesGet | Call::WasiArgsGet => {
            let name = host.spec.name.as_str();
            let list = core::iter::once(name).chain(host.spec.grants.args.iter().map(|a| a.as_str()));
            strings(call == Call::WasiArgsSizesGet, args, guest, list)
        }
        Call::WasiEnvironSizesGet | Call::WasiEnvironGet => {
            // What the layout cannot express is left out, not cut to something else: `config.get` still has it.
            let config = host.spec.grants.config.iter();
            let sound = config.filter(|(k, v)| !k.contains(['=', '\0']) && !v.contains('\0'));
            let list = sound.map(|(k, v)| format!("{k}={v}"));
            strings(call == Call::WasiEnvironSizesGet, args, guest, list)
        }
        Call::WasiClockResGet => {
            clock(args.word(0), host)?;
            guest.write(args.word(1), &NANOS_PER_MICRO.to_le_bytes())?;
            OK
        }
        Call::WasiClockTimeGet => {
            let now_us = clock(args.word(0), host)?;
            guest.write(args.word(2), &now_us.saturating_mul(NANOS_PER_MICRO).to_le_bytes())?;
            OK
        }
        Call::WasiRandomGet => random(args, guest, host),
        Call::WasiSchedYield => OK,
        Call::WasiProcExit => Ok(Done::Exit(args.int(0))),
        Call::WasiPollOneoff => poll(args, guest, host),
        Call::WasiFdWrite => write(args, guest, host),
        Call::WasiFdRead => {
            stream(args, 0)?;
            guest.write(args.word(3), &0_u32.to_le_bytes())?;
            OK
        }
        Call::WasiFdClose => {
            stream(args, 2)?;
            OK
        }
        Call::WasiFdSeek => {
            stream(args, 2)?;
            Ok(Done::Value(wasi::SPIPE.into()))
        }
        Call::WasiFdFdstatGet => {
            stream(args, 2)?;
            const CHARACTER_DEVICE: u8 = 2;
            const READ_OR_WRITE: u64 = 1 << 1 | 1 << 6;
            let mut stat = [0; 24];
            stat[0] = CHARACTER_DEVICE;
            stat[8..16].copy_from_slice(&READ_OR_WRITE.to_le_bytes());
            guest.write(args.word(1), &stat)?;
            OK
        }
        // No folder is opened before the start, and the calls on files are the A core's.
        _ => Err(Errno::BadHandle),
    }
}

/// Whether the first argument is one of the descriptors up to `last`.
fn stream(args: &Args, last: usize) -> Result<usize, Errno> {
    Some(args.word(0)).filter(|fd| *fd <= last).ok_or(Errno::BadHandle)
}

/// Writes the sizes of strings, or the strings with a table of their addresses.
fn strings<S: AsRef<str>>(
    sizes: bool,
    args: &Args,
    guest: &mut Guest<'_>,
    list: impl Iterator<Item = S> + Clone,
) -> Reply {
    let (first, second) = (args.word(0), args.word(1));
    let (count, bytes) = list.clone().fold((0_u32, 0_usize), |(n, bytes), s| (n + 1, bytes + s.as_ref().len() + 1));
    if sizes {
        guest.range(second, 4)?;
        guest.write(first, &count.to_le_bytes())?;
        guest.write(second, &u32::try_from(bytes).map_err(|_| Errno::TooLarge)?.to_le_bytes())?;
        return OK;
    }
    // Both places are checked before either is written.
    let mut table = guest.range(first, 4 * count as usize)?.start;
    let mut at = guest.range(second, bytes)?.start;
    for text in list {
        let text = text.as_ref().as_bytes();
        guest.write(table, &u32::try_from(at).map_err(|_| Errno::Fault)?.to_le_bytes())?;
        guest.write(at, text)?;
        guest.write(at + text.len(), &[0])?;
        table += 4;
        at += text.len() + 1;
    }
    OK
}

/// The time on that clock, in microseconds.
fn clock<M, L>(id: usize, host: &Host<M, L>) -> Result<u64, Errno> {
    match id {
        MONOTONIC => Ok(host.state.clock_us),
        REALTIME => host.wall_us().ok_or(Errno::NotHere),
        _ => Err(Errno::Invalid),
    }
}

fn random<M, L>(args: &Args, guest: &mut Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let (at, len) = (args.word(0), args.word(1));
    let range = guest.range(at, len)?;
    if len > RANDOM_BYTES_MAX {
        return Err(Errno::TooLarge);
    }
    host.state.random = host.state.random.wrapping_add(1);
    host.work = host.work.saturating_add(u32::try_from(len / 4).unwrap_or(u32::MAX));
    let (seed, turn) = (host.spec.seed, host.state.random.to_le_bytes());
    for (n, chunk) in (0_u32..).zip(guest.memory.get_mut(range).unwrap_or_default().chunks_mut(32)) {
        let mut hash = Sha256::new();
        for part in [&seed[..], &turn, &n.to_le_bytes()] {
            hash.update(part);
        }
        for (to, from) in chunk.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
    }
    OK
}

fn write<M, L>(args: &Args, guest: &mut Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let fd = stream(args, 2)?;
    let index = fd.checked_sub(1).ok_or(Errno::BadHandle)?;
    let (iovs, count, out) = (args.word(1), args.word(2), args.word(3));
    guest.range(out, 4)?;
    let mut buffers: heapless::Vec<&[u8], BUFFERS_MAX> = heapless::Vec::new();
    for n in 0..count.min(BUFFERS_MAX) {
        let at = iovs.saturating_add(8 * n);
        let (from, len) = (guest.u32(at)? as usize, guest.u32(at.saturating_add(4))? as usize);
        // Nothing is printed before all of them are known to be right.
        let _ = buffers.push(guest.bytes(from, len)?);
    }
    let mut taken = 0_usize;
    for bytes in buffers {
        let bytes = bytes.get(..WRITE_BYTES_MAX - taken).unwrap_or(bytes);
        host.print(index, bytes);
        host.work = host.work.saturating_add(u32::try_from(bytes.len() / 8).unwrap_or(u32::MAX));
        taken += bytes.len();
    }
    guest.write(out, &u32::try_from(taken).unwrap_or(0).to_le_bytes())?;
    OK
}

fn poll<M, L>(args: &Args, guest: &mut Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let (subscriptions, out, number, count) = (args.word(0), args.word(1), args.word(2), args.word(3));
    if number == 0 {
        return Err(Errno::Invalid);
    }
    if number > SUBSCRIPTIONS_MAX {
        return Err(Errno::TooLarge);
    }
    guest.range(subscriptions, number * SUBSCRIPTION_BYTES)?;
    guest.range(out, number * EVENT_BYTES)?;
    guest.range(count, 4)?;
    let mut subs = Vec::new();
    subs.try_reserve_exact(number).map_err(|_| Errno::Again)?;
    let (mut until_us, mut notice, mut now) = (None, false, false);
    for n in 0..number {
        let at = subscriptions + n * SUBSCRIPTION_BYTES;
        let what = subscription(at, guest, host)?;
        match what {
            Poll::Clock(due) => until_us = Some(until_us.map_or(due, |u: u64| u.min(due))),
            Poll::Event => notice = true,
            Poll::Write | Poll::Refused(..) => now = true,
        }
        subs.push(PollSub { userdata: guest.u64(at)?, what });
    }
    if now {
        poll_done(guest, &subs, out, count, host.state.clock_us, false)?;
        return OK;
    }
    Ok(Done::Park(Wait::Poll { until_us, notice, subs, out, count }))
}

fn subscription<M, L>(at: usize, guest: &Guest<'_>, host: &Host<M, L>) -> Result<Poll, Errno> {
    let tag = guest.bytes(at + 8, 1)?.first().copied().unwrap_or(u8::MAX);
    let which = guest.u32(at + 16)? as usize;
    Ok(match tag {
        0 => {
            const ABSOLUTE: u8 = 1;
            let absolute = guest.bytes(at + 40, 1)?.first().is_some_and(|f| f & ABSOLUTE != 0);
            // A little late rather than a little early.
            let time_us = guest.u64(at + 24)?.div_ceil(NANOS_PER_MICRO);
            let own = host.state.clock_us;
            match (clock(which, host), absolute) {
                (Ok(_), false) => Poll::Clock(own.saturating_add(time_us)),
                (Ok(now), true) => Poll::Clock(own.saturating_add(time_us.saturating_sub(now))),
                (Err(e), _) => Poll::Refused(tag, wasi::errno(e)),
            }
        }
        1 if which == 0 && host.command => Poll::Event,
        // Within `on_event` the next event cannot come before this one is done.
        1 if which == 0 => Poll::Refused(tag, wasi::NOTSUP),
        2 if which == 1 || which == 2 => Poll::Write,
        1 | 2 => Poll::Refused(tag, wasi::BADF),
        _ => return Err(Errno::Invalid),
    })
}

/// Writes the events of a poll that is over.
pub(crate) fn poll_done(
    guest: &mut Guest<'_>,
    subs: &[PollSub],
    out: usize,
    count: usize,
    now_us: u64,
    noticed: bool,
) -> Result<(), Errno> {
    let mut events = 0_u32;
    for sub in subs {
        let (happened, error, kind) = match sub.what {
            Poll::Clock(due) => (due <= now_us, 0, 0),
            Poll::Event => (noticed, 0, 1),
            Poll::Write => (true, 0, 2),
            Poll::Refused(kind, error) => (true, error, kind),
        };
        if !happened {
            continue;
        }
        let mut event = [0; EVENT_BYTES];
        event[0..8].copy_from_slice(&sub.userdata.to_le_bytes());
        event[8..10].copy_from_slice(&u16::to_le_bytes(error));
        event[10] = kind;
        event[16..24].copy_from_slice(&u64::from(kind != 0 && error == 0).to_le_bytes());
        guest.write(out.saturating_add(EVENT_BYTES * events as usize), &event)?;
        events += 1;
    }
    guest.write(count, &events.to_le_bytes())
}
