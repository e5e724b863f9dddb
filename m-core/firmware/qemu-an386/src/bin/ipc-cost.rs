//! Counts what messages cost this core: it plays both ends of the rings, and prints by its console how many ticks of the
//! processor's timer each operation of the remote role took. `coracle-bench` runs it with time tied to the count of
//! instructions, and turns ticks into instructions.
//!
//! A line is `cost`, the payload's bytes, the fewest and the most ticks of several times, and the operation's name; `end`
//! follows the last.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(target_os = "none", expect(unsafe_code, reason = "the console is reached by its address"))]

#[cfg(target_os = "none")]
mod firmware {
    use core::fmt::Write as _;
    use core::hint::black_box;

    use coracle_chip_mps2::Console;
    use coracle_firmware_qemu_an386::constants::{CONSOLE, SHARED};
    use coracle_firmware_qemu_an386::start;
    use coracle_rpmsg::{
        Device, Driver, Endpoint, Geometry, Held, Instance, Layout, PAYLOAD_BYTES_MAX, Rpmsg as _, RpmsgError,
        ZeroCopy as _,
    };
    use cortex_m::peripheral::SYST;
    use cortex_m::peripheral::syst::SystClkSource;

    /// Payloads that are measured, in bytes.
    const PAYLOADS: [usize; 3] = [16, 64, PAYLOAD_BYTES_MAX];
    /// How often each operation is measured; the first time is not counted.
    const ROUNDS: usize = 9;
    /// The processor's timer counts down from this.
    const TIMER_MAX: u32 = 0x00FF_FFFF;
    const ENDPOINTS: usize = 4;

    type Remote = Instance<Device<'static>, ENDPOINTS>;
    type Master = Instance<Driver<'static>, ENDPOINTS>;

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let board = start();
        // SAFETY: the board file says that this UART is the console, and nothing else runs that could use it.
        let mut console = unsafe { Console::new(CONSOLE) };
        let Some(mut core) = cortex_m::Peripherals::take() else { panic!("the peripherals are taken once") };
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(TIMER_MAX);
        core.SYST.clear_current();
        core.SYST.enable_counter();
        // Any part of the shared memory will do: no other core looks at it here.
        let area = board.shared.sub(SHARED.bulk_to_m.offset as usize, SHARED.bulk_to_m.bytes as usize);
        let done = match area.map(|area| Layout::contiguous(area, 0, Geometry::LINUX)) {
            Ok(Ok(layout)) => measure(&layout, &mut console),
            _ => panic!("the area is too small for the rings"),
        };
        if let Err(error) = done {
            panic!("a ring failed: {error}");
        }
        let _written = writeln!(console, "end");
        loop {
            cortex_m::asm::wfi();
        }
    }

    /// Ticks that `work` takes.
    fn ticks<T>(work: impl FnOnce() -> T) -> (u32, T) {
        cortex_m::interrupt::free(|_| {
            let start = SYST::get_current();
            let done = black_box(work());
            let end = SYST::get_current();
            (start.wrapping_sub(end) & TIMER_MAX, done)
        })
    }

    /// The fewest and the most ticks of one operation.
    struct Cost {
        least: u32,
        most: u32,
    }

    impl Cost {
        /// Measures an operation `ROUNDS` times. `operation` returns the ticks of one.
        fn of(mut operation: impl FnMut() -> Result<u32, RpmsgError>) -> Result<Self, RpmsgError> {
            let mut cost = Self { least: u32::MAX, most: 0 };
            operation()?;
            for _ in 1..ROUNDS {
                let ticks = operation()?;
                cost = Self { least: cost.least.min(ticks), most: cost.most.max(ticks) };
            }
            Ok(cost)
        }
    }

    fn measure(layout: &Layout<'static>, console: &mut Console) -> Result<(), RpmsgError> {
        let mut master: Master = Instance::new(Driver::new(layout)?);
        let mut remote: Remote = Instance::new(Device::new(layout)?);
        remote.notified();
        let far = master.create_endpoint(1024)?;
        let near = remote.create_endpoint(30)?;
        let payload = [0x5A; PAYLOAD_BYTES_MAX];
        let mut buffer = payload;
        let mut print = |operation: &str, len: usize, cost: Cost| {
            let _written = writeln!(console, "cost {len} {} {} {operation}", cost.least, cost.most);
        };

        print("nothing", 0, Cost::of(|| Ok(ticks(|| ()).0))?);
        let cost = Cost::of(|| {
            let (ticks, received) = ticks(|| remote.receive(black_box(&mut buffer)));
            received.map(|_| ticks)
        })?;
        print("receive, nothing there", 0, cost);
        for len in PAYLOADS {
            let payload = payload.get(..len).unwrap_or_default();
            let cost = Cost::of(|| {
                let (ticks, sent) = ticks(|| remote.send(near, black_box(far.address()), black_box(payload)));
                sent?;
                swallow(&mut master)?;
                kicks(&mut remote);
                Ok(ticks)
            })?;
            print("send", len, cost);
            let cost = Cost::of(|| {
                master.send(far, near.address(), payload)?;
                let (ticks, received) = ticks(|| remote.receive(black_box(&mut buffer)));
                received?.ok_or(RpmsgError::NotReady)?;
                kicks(&mut remote);
                Ok(ticks)
            })?;
            print("receive", len, cost);
            let cost = Cost::of(|| {
                let (ticks, sent) = ticks(|| send_nocopy(&mut remote, near, far.address(), black_box(payload)));
                sent?;
                swallow(&mut master)?;
                kicks(&mut remote);
                Ok(ticks)
            })?;
            print("alloc_tx, write, send_nocopy", len, cost);
            let cost = Cost::of(|| {
                master.send(far, near.address(), payload)?;
                let (ticks, received) = ticks(|| receive_held(&mut remote, black_box(&mut buffer)));
                received?;
                kicks(&mut remote);
                Ok(ticks)
            })?;
            print("receive_held, read, release", len, cost);
        }
        let cost = Cost::of(|| {
            remote.send(near, far.address(), &payload)?;
            let (ticks, ()) = ticks(|| kicks(&mut remote));
            swallow(&mut master)?;
            Ok(ticks)
        })?;
        print("take_kick after a send, until none", 0, cost);
        let cost = Cost::of(|| {
            master.send(far, near.address(), &payload)?;
            let _received = remote.receive(&mut buffer)?;
            Ok(ticks(|| kicks(&mut remote)).0)
        })?;
        print("take_kick after a receive, until none", 0, cost);
        Ok(())
    }

    /// Takes the kicks that are due, as a firmware does before it rings.
    fn kicks(remote: &mut Remote) {
        while let Some(kick) = remote.take_kick() {
            black_box(kick);
        }
    }

    /// The other end takes what was sent.
    fn swallow(master: &mut Master) -> Result<(), RpmsgError> {
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        master.receive(&mut payload)?.map(|_| ()).ok_or(RpmsgError::NotReady)
    }

    fn send_nocopy(remote: &mut Remote, from: Endpoint, dst: u32, payload: &[u8]) -> Result<(), RpmsgError> {
        let mut buffer = remote.alloc_tx()?;
        remote.write(&mut buffer, 0, payload)?;
        remote.send_nocopy(from, dst, buffer, payload.len())
    }

    fn receive_held(remote: &mut Remote, payload: &mut [u8]) -> Result<(), RpmsgError> {
        let Some(Held::Message { len, buffer, .. }) = remote.receive_held()? else { return Err(RpmsgError::NotReady) };
        let to = payload.get_mut(..len).ok_or(RpmsgError::Size)?;
        remote.read(&buffer, 0, to)?;
        remote.release(buffer)
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is firmware: build it with --target thumbv7em-none-eabihf --profile firmware");
}
