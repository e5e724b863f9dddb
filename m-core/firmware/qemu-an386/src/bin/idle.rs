//! Counts how often this core wakes for containers that have nothing to do. It plays the A core that deploys them, then
//! sleeps, and prints by its console how many sleeps there were in ten minutes; `tests/qemu` runs it in virtual time.
//!
//! A line is `wakes`, the number of containers of the kind, the wake-ups, the events handled and the kind; `end` follows
//! the last.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(target_os = "none", expect(unsafe_code, reason = "the console is reached by its address"))]

#[cfg(target_os = "none")]
mod firmware {
    extern crate alloc;

    use alloc::vec::Vec;
    use core::fmt::Write as _;

    use coracle_board_api::{Budget, Clock as _, Sleep as _};
    use coracle_bulk::BulkWriter;
    use coracle_chip_mps2::Console;
    use coracle_container::{ContainerSpec, Grants, Limits};
    use coracle_device::NoDevices;
    use coracle_firmware_mps2::Board;
    use coracle_firmware_qemu_an386::constants::{BUDGET, CONSOLE, SHARED};
    use coracle_firmware_qemu_an386::start;
    use coracle_link::{BODY_BYTES_MAX, Credit, Event, FRAME_BYTES_MAX, Initiator, VERSIONS};
    use coracle_m_supervisor::{Memories, Supervisor};
    use coracle_wire::{FromM, Power, SPEC_BYTES_MAX, ToM};
    use sha2::{Digest as _, Sha256};

    /// How long the core is watched, in microseconds of virtual time.
    const WATCHED_US: u64 = 600_000_000;
    /// The kinds of container, and how many of each run at once.
    const KINDS: [(&str, usize, &[u8]); 4] = [
        ("none", 0, &[]),
        ("between events", 3, include_bytes!(concat!(env!("OUT_DIR"), "/empty.wasm"))),
        ("waiting in a command", 3, include_bytes!(concat!(env!("OUT_DIR"), "/waiting.wasm"))),
        ("timers of ten seconds", 3, include_bytes!(concat!(env!("OUT_DIR"), "/ticking.wasm"))),
    ];

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let mut board = start();
        // SAFETY: the board file says that this UART is the console, and nothing else runs that could use it.
        let mut console = unsafe { Console::new(CONSOLE) };
        for (life, (kind, count, module)) in (1..).zip(KINDS) {
            let (wakes, handled) = watch(&mut board, life, count, module);
            let _written = writeln!(console, "wakes {count} {wakes} {handled} {kind}");
        }
        let _written = writeln!(console, "end");
        loop {
            cortex_m::asm::wfi();
        }
    }

    /// Sleeps of the core in [`WATCHED_US`], and events that its containers handled in that time.
    fn watch(board: &mut Board, life: u32, count: usize, module: &[u8]) -> (u32, u64) {
        let sub = |span: coracle_board_api::Span| {
            let Ok(region) = board.shared.sub(span.offset as usize, span.bytes as usize) else {
                panic!("the shared memory is smaller than its layout");
            };
            region
        };
        let memories = Memories {
            bulk_to_m: sub(SHARED.bulk_to_m),
            bulk_to_a: sub(SHARED.bulk_to_a),
            retained: sub(SHARED.retained),
        };
        let room = Credit::for_buffers(SHARED.vring_num);
        let mut a = A {
            link: Initiator::new(life, VERSIONS, room),
            bulk: BulkWriter::new(memories.bulk_to_m, life),
            handled: 0,
            refused: false,
        };
        let budget: Budget = BUDGET;
        let mut m = Supervisor::new(memories, budget, life, room);
        let hello = a.link.open(board.clock.now_us());
        let mut out = [0; FRAME_BYTES_MAX];
        if let Some(hello) = coracle_link::encode(&hello, &mut out) {
            m.frame(hello, board.clock.now_us());
        }
        a.answer(&mut m, board);
        a.send(&mut m, board, &ToM::Begin);
        for n in 0..count {
            a.deploy(&mut m, board, n, module);
        }
        run(&mut m, board);
        a.send(&mut m, board, &ToM::Power(Power::Asleep));
        run(&mut m, board);
        let before = a.numbers(&mut m, board);
        let end_us = board.clock.now_us() + WATCHED_US;
        let wakes = board.idle.wakes();
        while board.clock.now_us() < end_us {
            let deadline_us = m.deadline_us().map_or(end_us, |deadline_us| deadline_us.min(end_us));
            board.sleep_until(Some(deadline_us));
            run(&mut m, board);
        }
        let wakes = board.idle.wakes() - wakes;
        assert!(!a.refused, "a container was refused");
        let handled = a.numbers(&mut m, board) - before;
        (wakes, handled)
    }

    /// Runs the supervisor until it has nothing to do.
    fn run(m: &mut Supervisor<'_>, board: &Board) {
        loop {
            m.step(board.clock.now_us(), &mut NoDevices);
            m.send_out(board.clock.now_us());
            if !m.has_work() {
                return;
            }
        }
    }

    /// As much of the A core as deploys containers and asks for numbers.
    struct A<'m> {
        link: Initiator,
        bulk: BulkWriter<'m>,
        /// Sum of the events handled, of the last answer.
        handled: u64,
        refused: bool,
    }

    impl A<'_> {
        /// Takes what M sent, until it sends nothing.
        fn answer(&mut self, m: &mut Supervisor<'_>, board: &Board) {
            m.send_out(board.clock.now_us());
            while let Some(frame) = m.take_frame() {
                if let Event::Message { body, .. } = self.link.receive(&frame, board.clock.now_us()) {
                    match coracle_wire::decode::<FromM>(body) {
                        Some(FromM::ContainerStats { handled, .. }) => self.handled += handled,
                        Some(FromM::DeployRefused { .. } | FromM::Exited { .. }) => self.refused = true,
                        _ => {}
                    }
                }
                self.link.grant();
                let mut out = [0; FRAME_BYTES_MAX];
                if let Some(credit) = self.link.credit_frame()
                    && let Some(frame) = coracle_link::encode(&credit, &mut out)
                {
                    m.frame(frame, board.clock.now_us());
                }
                m.send_out(board.clock.now_us());
            }
        }

        fn send(&mut self, m: &mut Supervisor<'_>, board: &Board, message: &ToM) {
            let mut body = [0; BODY_BYTES_MAX];
            let mut out = [0; FRAME_BYTES_MAX];
            let now_us = board.clock.now_us();
            let Some(body) = coracle_wire::encode(message, &mut body) else { panic!("a message is too long") };
            let Ok(frame) = self.link.send(message.channel(), body, now_us, &mut out) else {
                panic!("M has no room for a message");
            };
            m.frame(frame, now_us);
            self.answer(m, board);
        }

        fn deploy(&mut self, m: &mut Supervisor<'_>, board: &Board, n: usize, module: &[u8]) {
            let mut name = coracle_guest_abi::Name::new();
            let _fits = write!(name, "c{n}");
            let spec = ContainerSpec {
                name,
                image: Sha256::digest(module).into(),
                portable: false,
                seed: [0; 16],
                limits: Limits { memory: 64, ..Limits::default() },
                grants: Grants::default(),
            };
            let mut bytes: Vec<u8> = alloc::vec![0; SPEC_BYTES_MAX];
            let Some(spec) = coracle_wire::encode(&spec, &mut bytes) else { panic!("a specification is too long") };
            let (Ok(spec), Ok(module)) = (self.bulk.put(&[spec]), self.bulk.put(&[module])) else {
                panic!("the bulk region is full");
            };
            self.send(m, board, &ToM::Deploy { token: 1, spec, module, snapshot: None, live: true });
            self.bulk.free(&spec);
            self.bulk.free(&module);
        }

        /// Events that all containers handled so far.
        fn numbers(&mut self, m: &mut Supervisor<'_>, board: &Board) -> u64 {
            self.handled = 0;
            self.send(m, board, &ToM::Query);
            self.handled
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this program runs on the board: build it for thumbv7em-none-eabihf");
}
