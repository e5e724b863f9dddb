//! `sensor`.

use coracle_guest_abi::{BLOCK_SAMPLES_MAX, BlockHeader, Errno, EventKind, SensorInfo};

use super::{Args, Done, Guest, Kind, OK, Reply, open as open_handle, opened, value};
use crate::park::Wait;
use crate::{DeviceCall, Host};

pub(super) fn open<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let name = guest.name(args.word(0), args.word(1))?;
    let index = host.spec.grants.sensors.iter().position(|s| s.name == name);
    let handle = open_handle(Kind::Sensor, index, host)?;
    if let Some(used) = index.and_then(|i| host.state.sensors.get_mut(i)) {
        used.off = false;
    }
    Ok(handle)
}

pub(super) fn close<M, L>(args: &Args, host: &mut Host<M, L>) -> Reply {
    let index = opened(Kind::Sensor, args.word(0), host)?;
    if let Some(used) = host.state.sensors.get_mut(index) {
        used.off = true;
    }
    super::close(Kind::Sensor, args, host)
}

pub(super) fn info<M, L>(args: &Args, guest: &Guest<'_>, host: &Host<M, L>) -> Reply {
    let index = opened(Kind::Sensor, args.word(0), host)?;
    let out = args.word(1);
    guest.range(out, SensorInfo::BYTES)?;
    let name = host.spec.grants.sensors.get(index).ok_or(Errno::BadHandle)?.name.clone();
    Ok(Done::Park(Wait::Device { call: DeviceCall::SensorInfo { name }, out, cap: SensorInfo::BYTES }))
}

pub(super) fn read_block<M, L>(args: &Args, guest: &mut Guest<'_>, host: &Host<M, L>) -> Reply {
    let handle = args.word(0);
    opened(Kind::Sensor, handle, host)?;
    let event = host.event.as_ref().ok_or(Errno::Again)?;
    if event.kind != EventKind::Sensor || usize::from(event.source) != handle {
        return Err(Errno::Again);
    }
    let (header, samples) = event.payload.split_at_checked(BlockHeader::BYTES).ok_or(Errno::Invalid)?;
    let n = args.word(3).min(samples.len() / 2).min(BLOCK_SAMPLES_MAX);
    let samples = samples.get(..n * 2).ok_or(Errno::Invalid)?;
    // Both places are checked before either is written: a refused call leaves the guest's memory as it was.
    guest.range(args.word(2), samples.len())?;
    guest.write(args.word(1), header)?;
    guest.write(args.word(2), samples)?;
    value(n)
}

pub(super) fn set_rate<M, L>(args: &Args, host: &mut Host<M, L>) -> Reply {
    let index = opened(Kind::Sensor, args.word(0), host)?;
    let asked = args.int(1).cast_unsigned();
    if asked == 0 || asked > i32::MAX.cast_unsigned() {
        return Err(Errno::Invalid);
    }
    let granted = host.spec.grants.sensors.get(index).map_or(0, |s| s.rate_hz);
    let rate = if granted == 0 { asked } else { asked.min(granted) };
    if let Some(used) = host.state.sensors.get_mut(index) {
        used.rate_hz = rate;
    }
    value(rate as usize)
}

pub(super) fn set_threshold<M, L>(args: &Args, host: &mut Host<M, L>) -> Reply {
    let index = opened(Kind::Sensor, args.word(0), host)?;
    let (low, high) = (args.int(1), args.int(2));
    if let Some(used) = host.state.sensors.get_mut(index) {
        used.threshold = Some((low, high));
    }
    OK
}
