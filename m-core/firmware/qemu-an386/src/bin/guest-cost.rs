//! Counts what guests cost this core: it runs the modules in `guests/` in the sandbox and, where that is possible, on the
//! bare engine with imports that do nothing, and prints by its console how many ticks of the processor's timer that took
//! and how many bytes of the heap a container holds. `coracle-bench` runs it with time tied to the count of instructions.
//!
//! A line is `cost`, a number that is part of what was done (calls or payload bytes), the fewest and the most ticks of
//! several times, and what was done; or `bytes`, the heap's bytes, and what they are for; `end` follows the last.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(target_os = "none", expect(unsafe_code, reason = "the console is reached by its address"))]

#[cfg(target_os = "none")]
mod firmware {
    extern crate alloc;

    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::fmt::Write as _;
    use core::hint::black_box;

    use coracle_chip_mps2::Console;
    use coracle_container::{ContainerSpec, Grants, Limits, OwnedEvent, SensorGrant, Step};
    use coracle_firmware_mps2::heap_use;
    use coracle_firmware_qemu_an386::constants::CONSOLE;
    use coracle_firmware_qemu_an386::start;
    use coracle_guest_abi::{BLOCK_SAMPLES_MAX, BlockHeader, EventKind, MESSAGE_BYTES_MAX};
    use coracle_sandbox::Container;
    use cortex_m::peripheral::SYST;
    use cortex_m::peripheral::syst::SystClkSource;
    use sha2::{Digest, Sha256};
    use wasmi::{Engine, Extern, Func, Instance, Module, Store, Val};

    const COST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cost.wasm"));
    const EMPTY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/empty.wasm"));
    const PUBLISHING: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/publishing.wasm"));
    const SENSING: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sensing.wasm"));
    const WAITING: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/waiting.wasm"));

    /// How often each operation is measured; the first time, in which functions are translated, is not counted.
    const ROUNDS: u64 = 5;
    /// Time between two rounds in microseconds: long enough that no rate is reached.
    const ROUND_US: u64 = 100_000;
    /// The processor's timer counts down from this.
    const TIMER_MAX: u32 = 0x00FF_FFFF;
    const FUEL: u64 = 1_000_000;
    /// The calls that `cost.wat` makes in a loop for a message, in the order of its table.
    const OPERATIONS: [&str; 7] =
        ["a loop", "config.version", "time.now", "log.write", "event.read", "msg.publish", "kv.get"];
    /// How often it makes them, by the lowest bit of the event's source.
    const CALLS: [u32; 2] = [2, 10];

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let _board = start();
        // SAFETY: the board file says that this UART is the console, and nothing else runs that could use it.
        let mut console = unsafe { Console::new(CONSOLE) };
        let Some(mut core) = cortex_m::Peripherals::take() else { panic!("the peripherals are taken once") };
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(TIMER_MAX);
        core.SYST.clear_current();
        core.SYST.enable_counter();
        let console = &mut console;
        print(console, "nothing", 0, Cost::of(|_| ticks(|| ()).0));
        calls_in_the_sandbox(console);
        calls_on_the_bare_engine(console);
        turns(console);
        copies(console);
        memory(console);
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
        /// Measures an operation. `operation` gets the number of the round and returns the ticks of one.
        fn of(mut operation: impl FnMut(u64) -> u32) -> Self {
            let mut cost = Self { least: u32::MAX, most: 0 };
            operation(0);
            for round in 1..ROUNDS {
                let ticks = operation(round);
                cost = Self { least: cost.least.min(ticks), most: cost.most.max(ticks) };
            }
            cost
        }
    }

    fn print(console: &mut Console, operation: &str, number: usize, cost: Cost) {
        let _written = writeln!(console, "cost {number} {} {} {operation}", cost.least, cost.most);
    }

    /// A specification that grants what the modules here use.
    fn spec(module: &[u8]) -> Arc<ContainerSpec> {
        let name = |text: &str| text.try_into().unwrap_or_default();
        let sensor = |text| SensorGrant { name: name(text), rate_hz: 0, exclusive: false };
        Arc::new(ContainerSpec {
            name: name("guest"),
            image: Sha256::digest(module).into(),
            portable: false,
            seed: [0; 16],
            limits: Limits { fuel_per_event: FUEL, logs_per_second: 1000, ..Limits::default() },
            grants: Grants {
                sensors: ["accel0", "accel1"].map(sensor).into_iter().collect(),
                publish: [name("topic/a")].into_iter().collect(),
                kv: 256,
                ..Grants::default()
            },
        })
    }

    fn load(module: &[u8]) -> Container {
        match Container::load(module, spec(module)) {
            Ok(container) => container,
            Err(error) => panic!("a module of the measurement does not load: {error}"),
        }
    }

    /// A container whose first run is over.
    fn started(module: &[u8]) -> Container {
        let mut container = load(module);
        container.begin(None);
        let step = container.run(0, FUEL);
        assert!(matches!(step, Step::Done | Step::Parked), "a module of the measurement does not start: {step:?}");
        container
    }

    fn event(kind: EventKind, source: u8, payload: Vec<u8>) -> OwnedEvent {
        OwnedEvent { seq: 0, kind, source, tag: 0, time_us: 0, payload: Arc::new(payload) }
    }

    fn block(source: u8, samples: usize) -> OwnedEvent {
        event(EventKind::Sensor, source, vec![0x5A; BlockHeader::BYTES + 2 * samples])
    }

    /// Ticks of `run` for an event that has begun.
    fn run(container: &mut Container, event: OwnedEvent, round: u64) -> u32 {
        container.begin(Some(event));
        let (ticks, step) = ticks(|| container.run(black_box(round * ROUND_US), FUEL));
        assert_eq!(step, Step::Done, "an event of the measurement fails");
        drop(container.take_effects());
        ticks
    }

    /// Events in which the guest makes the same call a few times.
    fn calls_in_the_sandbox(console: &mut Console) {
        let mut container = started(COST);
        let sources = || (0..2_u8).zip(CALLS);
        for (operation, name) in (0..).zip(OPERATIONS) {
            for (bit, calls) in sources() {
                let source = 2 * operation + bit;
                let message = || event(EventKind::Message, source, vec![7; MESSAGE_BYTES_MAX]);
                let cost = Cost::of(|round| run(&mut container, message(), round));
                print_call(console, "sandbox", name, calls, cost);
            }
        }
        for (bit, calls) in sources() {
            let cost = Cost::of(|round| run(&mut container, event(EventKind::Wake, bit, Vec::new()), round));
            print_call(console, "sandbox", "kv.set", calls, cost);
        }
        for (name, samples) in [("sensor.read_block, 512", BLOCK_SAMPLES_MAX), ("sensor.read_block, 256", 256)] {
            for (bit, calls) in sources() {
                let cost = Cost::of(|round| run(&mut container, block(bit, samples), round));
                print_call(console, "sandbox", name, calls, cost);
            }
        }
    }

    fn print_call(console: &mut Console, place: &str, name: &str, calls: u32, cost: Cost) {
        let _written = writeln!(console, "cost {calls} {} {} {place}: {name}", cost.least, cost.most);
    }

    /// A module on the engine alone, with its imports doing nothing.
    struct Bare {
        store: Store<()>,
        on_event: Func,
    }

    impl Bare {
        fn new(module: &[u8]) -> Result<Self, wasmi::Error> {
            let engine = Engine::new(&coracle_sandbox::config());
            let module = Module::new(&engine, module)?;
            let mut store = Store::new(&engine, ());
            let imports: Vec<Extern> = module.imports().map(|i| nothing(&mut store, i.module(), i.name())).collect();
            let instance = Instance::new(&mut store, &module, &imports)?;
            let on_event = instance.get_func(&store, coracle_guest_abi::EXPORT_ON_EVENT);
            Ok(Self { on_event: on_event.ok_or_else(|| wasmi::Error::new("no on_event"))?, store })
        }

        fn run(&mut self, kind: EventKind, source: u8) -> u32 {
            let args = [kind as i32, i32::from(source), 0].map(Val::I32);
            let mut results = [Val::I32(0)];
            let (ticks, done) = ticks(|| {
                self.store.set_fuel(FUEL)?;
                self.on_event.call(&mut self.store, black_box(&args), &mut results)
            });
            assert!(done.is_ok(), "an event of the measurement fails on the bare engine");
            ticks
        }
    }

    /// An import that does nothing, in the way that costs the engine least.
    fn nothing(store: &mut Store<()>, module: &str, name: &str) -> Extern {
        let function = match (module, name) {
            ("coracle:config@1", _) => Func::wrap(store, || 0_i32),
            ("coracle:time@1", _) => Func::wrap(store, || 0_i64),
            ("coracle:log@1", _) => Func::wrap(store, |_: i32, _: i32, _: i32| 0_i32),
            ("coracle:event@1", _) | ("coracle:sensor@1", "open") => Func::wrap(store, |_: i32, _: i32| 0_i32),
            _ => Func::wrap(store, |_: i32, _: i32, _: i32, _: i32| 0_i32),
        };
        Extern::Func(function)
    }

    fn bare(module: &[u8]) -> Bare {
        match Bare::new(module) {
            Ok(bare) => bare,
            Err(error) => panic!("a module of the measurement does not run on the bare engine: {error}"),
        }
    }

    fn calls_on_the_bare_engine(console: &mut Console) {
        let mut bare = bare(COST);
        let sources = || (0..2_u8).zip(CALLS);
        for (operation, name) in (0..).zip(OPERATIONS) {
            for (bit, calls) in sources() {
                let cost = Cost::of(|_| bare.run(EventKind::Message, 2 * operation + bit));
                print_call(console, "engine", name, calls, cost);
            }
        }
        for (kind, name) in [
            (EventKind::Wake, "kv.set"),
            (EventKind::Sensor, "sensor.read_block, 512"),
            (EventKind::Sensor, "sensor.read_block, 256"),
        ] {
            for (bit, calls) in sources() {
                print_call(console, "engine", name, calls, Cost::of(|_| bare.run(kind, bit)));
            }
        }
    }

    /// From an event to the next: of a container with `on_event`, and of a command that waits.
    fn turns(console: &mut Console) {
        let mut container = started(EMPTY);
        let cost = Cost::of(|round| {
            let message = event(EventKind::Message, 0, vec![7; MESSAGE_BYTES_MAX]);
            let (ticks, step) = ticks(|| {
                container.begin(Some(message));
                container.run(black_box(round * ROUND_US), FUEL)
            });
            assert_eq!(step, Step::Done, "an event of the measurement fails");
            ticks
        });
        print(console, "sandbox: begin and run an empty on_event", 0, cost);
        let mut bare = bare(EMPTY);
        print(console, "engine: begin and run an empty on_event", 0, Cost::of(|_| bare.run(EventKind::Message, 0)));
        let mut command = started(WAITING);
        let cost = Cost::of(|round| {
            let message = event(EventKind::Message, 0, vec![7; MESSAGE_BYTES_MAX]);
            let (ticks, (delivered, step)) = ticks(|| {
                let delivered = command.deliver(message);
                (delivered, command.run(black_box(round * ROUND_US), FUEL))
            });
            assert!(delivered.is_ok() && step == Step::Parked, "a turn of the measurement fails");
            ticks
        });
        print(console, "sandbox: deliver, resume, park again", 0, cost);
    }

    /// What copying a block's bytes takes by itself.
    fn copies(console: &mut Console) {
        let from = vec![0x5A_u8; 2 * BLOCK_SAMPLES_MAX];
        let mut to = vec![0_u8; 2 * BLOCK_SAMPLES_MAX];
        for len in [BLOCK_SAMPLES_MAX, 2 * BLOCK_SAMPLES_MAX] {
            let cost = Cost::of(|_| {
                let (from, to) = (from.get(..len).unwrap_or_default(), to.get_mut(..len).unwrap_or_default());
                ticks(|| black_box(to).copy_from_slice(black_box(from))).0
            });
            print(console, "copy", len, cost);
        }
    }

    /// Bytes of the heap that a container holds beside its linear memory: fresh, and after its first event.
    fn memory(console: &mut Console) {
        for (name, module) in [("empty", EMPTY), ("sensing", SENSING), ("publishing", PUBLISHING)] {
            let before = heap_use().used_bytes;
            let mut container = load(module);
            let fresh = heap_use().used_bytes - before - container.usage().memory_bytes;
            container.begin(None);
            let started = container.run(0, FUEL);
            let event = match name {
                "sensing" => block(0, BLOCK_SAMPLES_MAX),
                _ => event(EventKind::Message, 0, vec![7; MESSAGE_BYTES_MAX]),
            };
            container.begin(Some(event));
            let handled = container.run(ROUND_US, FUEL);
            assert!((started, handled) == (Step::Done, Step::Done), "a container of the measurement fails");
            drop(container.take_effects());
            let used = heap_use().used_bytes - before - container.usage().memory_bytes;
            let _written = writeln!(console, "bytes {fresh} {name}, fresh");
            let _written = writeln!(console, "bytes {used} {name}, after an event");
            let _written = writeln!(console, "bytes {} {name}, of it the module", module.len());
            drop(container);
            assert_eq!(heap_use().used_bytes, before, "a container that was dropped left something behind");
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is firmware: build it with --target thumbv7em-none-eabihf --profile firmware");
}
