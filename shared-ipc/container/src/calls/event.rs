//! `event` and `time`.

use coracle_guest_abi::{Errno, EventRecord};
use coracle_migrate::snapshot::Timer;

use super::{Args, Done, Guest, OK, Reply, value};
use crate::Host;
use crate::park::{Wait, message_kinds};

pub(super) fn read<M, L>(args: &Args, guest: &mut Guest<'_>, host: &Host<M, L>) -> Reply {
    let event = host.event.as_ref().ok_or(Errno::Again)?;
    guest.write_cut(args.word(0), args.word(1), event.guest_payload()).map(Done::Value)
}

pub(super) fn current<M, L>(args: &Args, guest: &mut Guest<'_>, host: &Host<M, L>) -> Reply {
    let event = host.event.as_ref().ok_or(Errno::Again)?;
    guest.write(args.word(0), &event.record().to_bytes())?;
    OK
}

pub(super) fn wait<M, L>(args: &Args, guest: &Guest<'_>, host: &Host<M, L>) -> Reply {
    let kinds = args.int(0).cast_unsigned();
    wait_for(if kinds == 0 { u32::MAX } else { kinds }, args.long(1), args.word(2), guest, host)
}

pub(super) fn wait_message<M, L>(args: &Args, guest: &Guest<'_>, host: &Host<M, L>) -> Reply {
    wait_for(message_kinds(), args.long(0), args.word(1), guest, host)
}

fn wait_for<M, L>(kinds: u32, timeout: u64, record: usize, guest: &Guest<'_>, host: &Host<M, L>) -> Reply {
    // Within `on_event` the next event cannot come before this one is done.
    if !host.command {
        return Err(Errno::Invalid);
    }
    guest.range(record, EventRecord::BYTES)?;
    let until_us = u64::try_from(timeout.cast_signed()).ok().map(|t| host.state.clock_us.saturating_add(t));
    Ok(Done::Park(Wait::Event { kinds, until_us, record }))
}

pub(super) fn set_timer<M, L>(args: &Args, host: &mut Host<M, L>) -> Reply {
    let most = usize::from(host.spec.limits.timers);
    let due_us = host.state.clock_us.saturating_add(args.long(0));
    let timer = Timer { due_us, period_us: args.long(1), slack_us: args.long(2) };
    let free = host.state.timers.iter_mut().take(most).enumerate().find(|(_, slot)| slot.is_none());
    let (number, slot) = free.ok_or(Errno::NoSpace)?;
    *slot = Some(timer);
    value(number)
}

pub(super) fn cancel_timer<M, L>(args: &Args, host: &mut Host<M, L>) -> Reply {
    let slot = host.state.timers.get_mut(args.word(0)).filter(|slot| slot.is_some()).ok_or(Errno::BadHandle)?;
    *slot = None;
    OK
}

pub(super) fn timer_remaining<M, L>(args: &Args, host: &Host<M, L>) -> Reply {
    let timer = host.state.timers.get(args.word(0)).copied().flatten().ok_or(Errno::BadHandle)?;
    let left = timer.due_us.saturating_sub(host.state.clock_us);
    Ok(Done::Value(i64::try_from(left).unwrap_or(i64::MAX)))
}

pub(super) fn sleep<M, L>(args: &Args, host: &Host<M, L>) -> Reply {
    match args.long(0) {
        0 => OK,
        time => Ok(Done::Park(Wait::Sleep { until_us: host.state.clock_us.saturating_add(time) })),
    }
}
