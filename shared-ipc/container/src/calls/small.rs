//! `log`, `config`, `kv`.

use coracle_guest_abi::{Errno, KV_BYTES_MAX, LOG_BYTES_MAX};

use super::{Args, Done, Guest, OK, Reply};
use crate::Host;

pub(super) fn log_write<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let level = u8::try_from(args.word(0)).ok().filter(|l| (1..=4).contains(l)).ok_or(Errno::Invalid)?;
    let whole = guest.bytes(args.word(1), args.word(2))?;
    // What is cut anyway is not looked at; a character that the cut splits is.
    let start = whole.get(..LOG_BYTES_MAX + 3).unwrap_or(whole);
    let text = match core::str::from_utf8(start) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() && start.len() < whole.len() => {
            start.get(..e.valid_up_to()).and_then(|s| core::str::from_utf8(s).ok()).ok_or(Errno::Invalid)?
        }
        Err(_) => return Err(Errno::Invalid),
    };
    host.log(level, text)?;
    OK
}

pub(super) fn config_get<M, L>(args: &Args, guest: &mut Guest<'_>, host: &Host<M, L>) -> Reply {
    let key = guest.name(args.word(0), args.word(1))?;
    let value = host.spec.grants.config.iter().find(|(k, _)| k == key).map(|(_, v)| v).ok_or(Errno::NoEntry)?;
    guest.write_cut(args.word(2), args.word(3), value.as_bytes()).map(Done::Value)
}

pub(super) fn kv_get<M, L>(args: &Args, guest: &mut Guest<'_>, host: &Host<M, L>) -> Reply {
    let key = guest.name(args.word(0), args.word(1))?;
    let value = host.kv.get(key).ok_or(Errno::NoEntry)?;
    guest.write_cut(args.word(2), args.word(3), value).map(Done::Value)
}

pub(super) fn kv_set<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let key = guest.name(args.word(0), args.word(1))?;
    let value = guest.payload(args.word(2), args.word(3), KV_BYTES_MAX)?;
    // The whole store may move for it.
    let moved = host.kv.as_bytes().len().saturating_add(value.len());
    host.work = host.work.saturating_add(u32::try_from(moved / 32).unwrap_or(u32::MAX));
    host.kv.set(key, value, usize::from(host.spec.grants.kv))?;
    OK
}

pub(super) fn kv_delete<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let key = guest.name(args.word(0), args.word(1))?;
    if host.kv.delete(key) { OK } else { Err(Errno::NoEntry) }
}

pub(super) fn kv_next<M, L>(args: &Args, guest: &mut Guest<'_>, host: &Host<M, L>) -> Reply {
    let key = guest.name(args.word(0), args.word(1))?;
    let next = host.kv.next(key).ok_or(Errno::NoEntry)?;
    guest.write_cut(args.word(2), args.word(3), next).map(Done::Value)
}
