//! `msg` and `wake`.

use coracle_guest_abi::{Errno, EventKind, Name, WAKE_BYTES_MAX};
use coracle_migrate::snapshot::Request;

use super::{Args, Guest, OK, Reply, value};
use crate::host::copy;
use crate::{Host, OwnedEffect, Payload, request_parts};

/// A granted name and the payload of a call whose first four arguments they are.
fn granted(args: &Args, guest: &Guest<'_>, names: &[Name], max: usize) -> Result<(Name, Payload), Errno> {
    let name = guest.name(args.word(0), args.word(1))?;
    let payload = guest.bytes(args.word(2), args.word(3))?;
    let name = names.iter().find(|granted| *granted == name).ok_or(Errno::Denied)?;
    if payload.len() > max {
        return Err(Errno::TooLarge);
    }
    Ok((name.clone(), copy(payload)?.into()))
}

pub(super) fn publish<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>, retain: bool) -> Reply {
    let most = usize::from(host.spec.limits.payload);
    let (topic, payload) = granted(args, guest, &host.spec.grants.publish, most)?;
    host.effect(OwnedEffect::Publish { topic, payload, retain })?;
    OK
}

pub(super) fn request<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let most = usize::from(host.spec.limits.payload);
    let (topic, payload) = granted(args, guest, &host.spec.grants.publish, most)?;
    let free = host.state.requests.iter().position(Option::is_none).ok_or(Errno::NoSpace)?;
    // It crosses as a positive i32.
    let id = host.state.last_request.wrapping_add(1) & i32::MAX.cast_unsigned();
    host.effect(OwnedEffect::Request { topic, id, payload })?;
    host.state.last_request = id;
    if let Some(slot) = host.state.requests.get_mut(free) {
        *slot = Some(Request { id, due_us: host.state.clock_us.saturating_add(args.long(4)) });
    }
    value(id as usize)
}

pub(super) fn reply<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let payload = guest.payload(args.word(0), args.word(1), usize::from(host.spec.limits.payload))?;
    let event = host.event.as_ref().filter(|e| e.kind == EventKind::Request).ok_or(Errno::Again)?;
    let (from, _) = request_parts(&event.payload).ok_or(Errno::Invalid)?;
    let (to, id) = (Name::try_from(from).map_err(|_| Errno::Invalid)?, event.tag);
    let payload = copy(payload)?.into();
    host.effect(OwnedEffect::Reply { to, id, payload })?;
    OK
}

fn topic<M, L>(args: &Args, guest: &Guest<'_>, host: &Host<M, L>) -> Result<u8, Errno> {
    let name = guest.name(args.word(0), args.word(1))?;
    let index = host.spec.grants.subscribe.iter().position(|t| t == name).ok_or(Errno::Denied)?;
    u8::try_from(index).map_err(|_| Errno::Invalid)
}

pub(super) fn subscribe<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let topic = topic(args, guest, host)?;
    let bit = 1_u8.checked_shl(topic.into()).unwrap_or(0);
    let granted = host.spec.grants.subscribe.len();
    let subscribed = (0..granted).filter(|i| host.is_subscribed(*i)).count();
    if host.state.unsubscribed & bit != 0 && subscribed >= usize::from(host.spec.limits.subscriptions) {
        return Err(Errno::NoSpace);
    }
    host.effect(OwnedEffect::Subscribed { topic })?;
    host.state.unsubscribed &= !bit;
    value(topic.into())
}

pub(super) fn unsubscribe<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let topic = topic(args, guest, host)?;
    host.state.unsubscribed |= 1_u8.checked_shl(topic.into()).unwrap_or(0);
    OK
}

pub(super) fn wake<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let (reason, payload) = granted(args, guest, &host.spec.grants.wake, WAKE_BYTES_MAX)?;
    host.effect(OwnedEffect::Wake { reason, payload })?;
    OK
}
