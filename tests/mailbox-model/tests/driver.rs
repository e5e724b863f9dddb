//! The mailbox against a model of Linux's `stm32-ipcc` and mailbox core, in every order of their steps that a seed gives.

use std::collections::VecDeque;

use coracle_mailbox_model::registers::{CHANNELS, MAILBOX_PAGE, SHUTDOWN_CHANNEL, SYSCON_DEEP_SLEEP, SYSCON_PAGE};
use coracle_mailbox_model::{Interrupt, Model, Seen, Step};

const ALL_ENABLED: u32 = 0x1_0001;
const ALL_MASKED: u32 = u32::MAX;
const TX_STATUS: u32 = MAILBOX_PAGE + 0x0C;
const RX_STATUS: u32 = MAILBOX_PAGE + 0x1C;
const SEEDS: u64 = 3000;
const MESSAGES: u32 = 60;
/// Steps after the last message in which everything must have come to rest.
const STEPS_TO_REST: u32 = 4000;

/// A generator of pseudo-random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What the driver's interrupt thread is about to do.
enum Thread {
    Waits,
    ReadMask { status: u32 },
    Takes { channels: u32 },
}

struct World {
    random: Random,
    model: Model,
    // Words.
    mask: u32,
    tx_status: u32,
    // The driver.
    edge: bool,
    thread: Thread,
    queued: [u32; CHANNELS as usize],
    active: [bool; CHANNELS as usize],
    // The mailbox.
    now_us: u64,
    steps: VecDeque<Step>,
    deep_sleep: bool,
    // What happened, by the number of the step.
    time: u64,
    last_sent: [u64; CHANNELS as usize],
    last_rung: [u64; CHANNELS as usize],
    shutdowns: u32,
    resets: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            model: Model::new(),
            mask: ALL_MASKED & !0xFFFF,
            tx_status: (1 << CHANNELS) - 1,
            edge: false,
            thread: Thread::Waits,
            queued: [0; CHANNELS as usize],
            active: [false; CHANNELS as usize],
            now_us: 0,
            steps: VecDeque::new(),
            deep_sleep: false,
            time: 0,
            last_sent: [0; CHANNELS as usize],
            last_rung: [0; CHANNELS as usize],
            shutdowns: 0,
            resets: 0,
        }
    }

    fn submit(&mut self, channel: usize) {
        if !self.active[channel] && self.queued[channel] > 0 {
            self.queued[channel] -= 1;
            self.active[channel] = true;
            self.mask &= !(1 << (16 + channel));
            self.last_sent[channel] = self.time;
        }
    }

    /// On the driver's one processor, so not in the middle of its interrupt thread, which nothing preempts.
    fn send(&mut self, channel: usize) {
        while !matches!(self.thread, Thread::Waits) || (self.edge && self.random.below(2) == 0) {
            self.time += 1;
            self.step_of_thread();
        }
        self.time += 1;
        self.queued[channel] += 1;
        self.submit(channel);
    }

    fn step_of_thread(&mut self) {
        self.thread = match self.thread {
            Thread::Waits if self.edge => {
                self.edge = false;
                Thread::ReadMask { status: self.tx_status }
            }
            Thread::Waits => Thread::Waits,
            Thread::ReadMask { status } => Thread::Takes { channels: !status & (!self.mask >> 16) },
            Thread::Takes { channels: 0 } => Thread::Waits,
            Thread::Takes { channels } => {
                let channel = channels.trailing_zeros();
                self.mask |= 1 << (16 + channel);
                assert!(self.active[channel as usize], "a channel without a message is taken");
                if channel == SHUTDOWN_CHANNEL {
                    assert_eq!(self.resets, self.shutdowns, "the driver goes on, but the core was not reset");
                    assert!(self.deep_sleep, "the driver goes on, but the core would start at once");
                }
                self.active[channel as usize] = false;
                self.submit(channel as usize);
                Thread::Takes { channels: channels & !(1 << channel) }
            }
        }
    }

    fn step_of_mailbox(&mut self) {
        match self.steps.pop_front() {
            None => {
                self.now_us += self.random.below(400);
                self.steps = self.model.advance(Seen { control: ALL_ENABLED, mask: self.mask }, self.now_us).into();
            }
            Some(Step::Store { offset: TX_STATUS, value }) => self.tx_status = value,
            Some(Step::Store { offset, value }) => {
                assert_eq!((offset, value), (SYSCON_PAGE + SYSCON_DEEP_SLEEP, 1));
                self.deep_sleep = true;
            }
            Some(Step::RingM(channel)) => self.last_rung[usize::from(channel)] = self.time,
            Some(Step::Pulse(line)) => {
                assert_eq!(line, Interrupt::TxFree);
                self.edge = true;
            }
            Some(Step::ResetM) => {
                assert!(self.deep_sleep, "a core that is reset awake starts at once");
                self.resets += 1;
            }
        }
    }

    fn step(&mut self) {
        self.time += 1;
        match self.random.below(10) {
            // An interrupt that was on its way for long.
            0 if self.random.below(20) == 0 => self.edge = true,
            0..5 => self.step_of_thread(),
            _ => self.step_of_mailbox(),
        }
    }

    fn is_at_rest(&self) -> bool {
        self.active == [false; CHANNELS as usize] && self.tx_status == (1 << CHANNELS) - 1 && self.steps.is_empty()
    }
}

#[test]
fn every_message_is_followed_by_a_bell_and_every_shutdown_by_a_reset() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        let mut left = MESSAGES;
        while left > 0 {
            if world.random.below(8) == 0 {
                left -= 1;
                // One shutdown at a time, and a start in between, which takes long.
                if left.is_multiple_of(20) {
                    while !world.is_at_rest() {
                        world.step();
                    }
                    world.deep_sleep = false;
                    world.shutdowns += 1;
                    world.send(SHUTDOWN_CHANNEL as usize);
                } else {
                    let channel = world.random.below(2) as usize;
                    world.send(channel);
                }
            }
            world.step();
        }
        for _ in 0..STEPS_TO_REST {
            world.step();
        }
        assert!(world.is_at_rest(), "seed {seed}: not at rest");
        assert_eq!(world.resets, world.shutdowns, "seed {seed}");
        for channel in 0..2 {
            assert!(
                world.last_rung[channel] > world.last_sent[channel],
                "seed {seed}: channel {channel} was used at {} and M last rung at {}",
                world.last_sent[channel],
                world.last_rung[channel]
            );
        }
    }
}

fn seen(mask: u32) -> Seen {
    Seen { control: ALL_ENABLED, mask }
}

#[test]
fn a_bell_from_m_waits_until_the_driver_receives() {
    let mut model = Model::new();
    model.bell_from_m(1);
    assert_eq!(model.advance(seen(ALL_MASKED), 0), []);
    assert_eq!(model.advance(Seen { control: 0, mask: !2 }, 0), []);
    assert_eq!(
        model.advance(seen(!2), 0),
        [Step::Store { offset: RX_STATUS, value: 2 }, Step::Pulse(Interrupt::RxOccupied)]
    );
    assert_eq!(model.advance(seen(!2), 0), []);
    // The channel stays occupied; the next bell needs only the interrupt.
    model.bell_from_m(1);
    assert_eq!(model.advance(seen(!2), 0), [Step::Pulse(Interrupt::RxOccupied)]);
}

#[test]
fn bells_of_no_virtqueue_are_ignored() {
    let mut model = Model::new();
    for id in 2..=255 {
        model.bell_from_m(id);
    }
    assert_eq!(model.advance(seen(0xFFFF_0000), 0), []);
}

#[test]
fn a_driver_that_does_not_answer_is_reminded() {
    let mut model = Model::new();
    let first = model.advance(seen(!(1 << 16)), 10);
    assert_eq!(
        first,
        [Step::RingM(0), Step::Store { offset: TX_STATUS, value: 0b11_1110 }, Step::Pulse(Interrupt::TxFree)]
    );
    assert_eq!(model.advance(seen(!(1 << 16)), 309), []);
    assert_eq!(model.advance(seen(!(1 << 16)), 310), [Step::RingM(0), Step::Pulse(Interrupt::TxFree)]);
    // Taken: occupied first, then the bell for what may have come in between.
    assert_eq!(
        model.advance(seen(ALL_MASKED), 1100),
        [Step::Store { offset: TX_STATUS, value: 0b11_1111 }, Step::RingM(0)]
    );
}
