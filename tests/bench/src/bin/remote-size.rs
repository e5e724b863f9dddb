//! The remote role with everything that a firmware calls of it, and nothing else: what its code takes is what this program
//! takes. It is never run.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "the entry point has a fixed name, and shared memory starts as an address")
)]

#[cfg(target_os = "none")]
mod firmware {
    use core::hint::black_box;
    use core::panic::PanicInfo;

    use coracle_rpmsg::{
        ADDRESS_ANY, Device, Endpoint, Fault, Geometry, Held, Instance, Layout, Received, Rpmsg as _, RpmsgError,
        RxBuffer, TxBuffer, ZeroCopy as _,
    };
    use coracle_shmem::Region;

    /// Endpoints: as many as the firmware has.
    const ENDPOINTS: usize = 4;

    type Remote = Instance<Device<'static>, ENDPOINTS>;

    // Each operation is a function of its own, so that the compiler cannot fit one call's code to its arguments.

    #[inline(never)]
    fn init(region: Region<'static>, address: u64, geometry: Geometry) -> Result<Remote, Fault> {
        Ok(Instance::new(Device::new(&Layout::contiguous(region, address, geometry)?)?))
    }

    #[inline(never)]
    fn notified(remote: &mut Remote) -> bool {
        remote.notified();
        remote.is_link_up()
    }

    #[inline(never)]
    fn take_kick(remote: &mut Remote) -> Option<u8> {
        remote.take_kick()
    }

    #[inline(never)]
    fn create(remote: &mut Remote, address: u32) -> Result<Endpoint, RpmsgError> {
        remote.create_endpoint(address)
    }

    #[inline(never)]
    fn destroy(remote: &mut Remote, endpoint: Endpoint) -> Result<(), RpmsgError> {
        remote.destroy_endpoint(endpoint)
    }

    #[inline(never)]
    fn announce(remote: &mut Remote, endpoint: Endpoint, name: &str, gone: bool) -> Result<(), RpmsgError> {
        remote.announce(endpoint, name, gone)
    }

    #[inline(never)]
    fn send(remote: &mut Remote, from: Endpoint, dst: u32, payload: &[u8]) -> Result<(), RpmsgError> {
        remote.send(from, dst, payload)
    }

    #[inline(never)]
    fn receive(remote: &mut Remote, payload: &mut [u8]) -> Result<Option<Received>, RpmsgError> {
        remote.receive(payload)
    }

    #[inline(never)]
    fn alloc_tx(remote: &mut Remote) -> Result<TxBuffer, RpmsgError> {
        remote.alloc_tx()
    }

    #[inline(never)]
    fn write(remote: &mut Remote, buffer: &mut TxBuffer, offset: usize, bytes: &[u8]) -> Result<(), RpmsgError> {
        remote.write(buffer, offset, bytes)
    }

    #[inline(never)]
    fn send_nocopy(remote: &mut Remote, from: Endpoint, dst: u32, tx: TxBuffer, len: usize) -> Result<(), RpmsgError> {
        remote.send_nocopy(from, dst, tx, len)
    }

    #[inline(never)]
    fn receive_held(remote: &mut Remote) -> Result<Option<Held>, RpmsgError> {
        remote.receive_held()
    }

    #[inline(never)]
    fn read(remote: &Remote, buffer: &RxBuffer, offset: usize, to: &mut [u8]) -> Result<(), RpmsgError> {
        remote.read(buffer, offset, to)
    }

    #[inline(never)]
    fn release(remote: &mut Remote, buffer: RxBuffer) -> Result<(), RpmsgError> {
        remote.release(buffer)
    }

    #[inline(never)]
    fn want_buffer_kick(remote: &mut Remote, wanted: bool) -> Result<(), RpmsgError> {
        remote.want_buffer_kick(wanted)
    }

    /// Calls everything with arguments and results that the compiler knows nothing about.
    fn all(region: Region<'static>) -> Result<(), RpmsgError> {
        let mut remote = init(region, black_box(0), black_box(Geometry::LINUX))?;
        let remote = black_box(&mut remote);
        black_box(notified(remote));
        let endpoint = black_box(create(remote, black_box(ADDRESS_ANY))?);
        announce(remote, endpoint, black_box("rpmsg"), black_box(false))?;
        let mut payload = [0; 496];
        black_box(receive(remote, black_box(&mut payload))?);
        send(remote, endpoint, black_box(1024), black_box(&payload))?;
        let mut tx = black_box(alloc_tx(remote)?);
        write(remote, &mut tx, black_box(0), black_box(&payload))?;
        send_nocopy(remote, endpoint, black_box(1024), tx, black_box(16))?;
        if let Some(Held::Message { buffer, .. }) = black_box(receive_held(remote)?) {
            read(remote, &buffer, black_box(0), black_box(&mut payload))?;
            release(remote, buffer)?;
        }
        want_buffer_kick(remote, black_box(true))?;
        black_box(take_kick(remote));
        destroy(remote, endpoint)
    }

    // SAFETY: no other symbol of this program has that name, which is the linker's for the entry.
    #[unsafe(no_mangle)]
    extern "C" fn _start() -> ! {
        // SAFETY: never executed; the address and length stand for those of a board.
        let region = unsafe { Region::new(black_box(0x2100_0000 as *mut u8), black_box(0x4_6000)) };
        let _ = black_box(all(region));
        loop {}
    }

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        loop {}
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is firmware: build it with --target thumbv7em-none-eabihf --profile firmware");
}
