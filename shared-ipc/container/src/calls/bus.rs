//! `gpio`, `i2c`, `spi`.

use coracle_guest_abi::Errno;

use super::{Args, Done, Guest, Kind, Reply, open, opened};
use crate::host::copy;
use crate::park::Wait;
use crate::{DeviceCall, Host, PinGrant, PinMode};

pub(super) fn gpio_open<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let label = guest.name(args.word(0), args.word(1))?;
    open(Kind::Pin, host.spec.grants.pins.iter().position(|p| p.label == label), host)
}

pub(super) fn i2c_open<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let bus = guest.name(args.word(0), args.word(1))?;
    open(Kind::I2c, host.spec.grants.i2c.iter().position(|b| b.bus == bus), host)
}

pub(super) fn spi_open<M, L>(args: &Args, guest: &Guest<'_>, host: &mut Host<M, L>) -> Reply {
    let device = guest.name(args.word(0), args.word(1))?;
    open(Kind::Spi, host.spec.grants.spi.iter().position(|d| d.device == device), host)
}

fn pin<'h, M, L>(args: &Args, host: &'h Host<M, L>) -> Result<&'h PinGrant, Errno> {
    let index = opened(Kind::Pin, args.word(0), host)?;
    host.spec.grants.pins.get(index).ok_or(Errno::BadHandle)
}

fn device(call: DeviceCall, out: usize, cap: usize) -> Reply {
    Ok(Done::Park(Wait::Device { call, out, cap }))
}

pub(super) fn gpio_read<M, L>(args: &Args, host: &Host<M, L>) -> Reply {
    let label = pin(args, host)?.label.clone();
    device(DeviceCall::PinRead { label }, 0, 0)
}

pub(super) fn gpio_write<M, L>(args: &Args, host: &Host<M, L>) -> Reply {
    let pin = pin(args, host)?;
    if pin.mode != PinMode::Output {
        return Err(Errno::Denied);
    }
    let high = match args.word(1) {
        0 => false,
        1 => true,
        _ => return Err(Errno::Invalid),
    };
    device(DeviceCall::PinWrite { label: pin.label.clone(), high }, 0, 0)
}

pub(super) fn gpio_watch<M, L>(args: &Args, host: &Host<M, L>) -> Reply {
    let pin = pin(args, host)?;
    if pin.mode != PinMode::Input {
        return Err(Errno::Denied);
    }
    let edges = u8::try_from(args.word(1)).ok().filter(|e| *e <= 3).ok_or(Errno::Invalid)?;
    let debounce_us = args.int(2).cast_unsigned();
    device(DeviceCall::PinWatch { label: pin.label.clone(), edges, debounce_us }, 0, 0)
}

pub(super) fn i2c_write_read<M, L>(args: &Args, guest: &Guest<'_>, host: &Host<M, L>) -> Reply {
    let index = opened(Kind::I2c, args.word(0), host)?;
    let grant = host.spec.grants.i2c.get(index).ok_or(Errno::BadHandle)?;
    let address = u8::try_from(args.word(1)).ok().filter(|a| *a < 0x80).ok_or(Errno::Invalid)?;
    if !grant.addresses.contains(&address) {
        return Err(Errno::Denied);
    }
    let (write, out, read) = buffers(args, 2, guest, host)?;
    device(DeviceCall::I2c { bus: grant.bus.clone(), address, write: copy(write)?, read }, out, read.into())
}

pub(super) fn spi_transfer<M, L>(args: &Args, guest: &Guest<'_>, host: &Host<M, L>) -> Reply {
    let index = opened(Kind::Spi, args.word(0), host)?;
    let grant = host.spec.grants.spi.get(index).ok_or(Errno::BadHandle)?;
    let (write, out, read) = buffers(args, 1, guest, host)?;
    device(DeviceCall::Spi { device: grant.device.clone(), write: copy(write)?, read }, out, read.into())
}

/// The bytes to write, and the checked place and length of the buffer to fill: four arguments from `first` on.
fn buffers<'g, M, L>(
    args: &Args,
    first: usize,
    guest: &'g Guest<'_>,
    host: &Host<M, L>,
) -> Result<(&'g [u8], usize, u16), Errno> {
    let most = usize::from(host.spec.limits.payload);
    let write = guest.payload(args.word(first), args.word(first + 1), most)?;
    let (out, read) = (args.word(first + 2), args.word(first + 3));
    guest.range(out, read)?;
    let read = u16::try_from(read).ok().filter(|n| usize::from(*n) <= most).ok_or(Errno::TooLarge)?;
    Ok((write, out, read))
}
