//! Both ends against each other, by hand and by chance. `CORACLE_SEED=n` repeats one seed, `CORACLE_SEEDS=n` sets how
//! many are tried.

mod clock;
mod credit;
mod resync;
mod session;

use coracle_link::{Credit, FRAME_BYTES_MAX, Frame, Initiator, Responder, SessionId, VERSIONS};

/// What both ends have room for, where a test does not care.
const WINDOW: Credit = Credit { control: 4, bulk: 4 };

/// The first session of [`pair`].
const SESSION: SessionId = SessionId { a: (1 << 24) + 1, m: (7 << 24) + 1 };

fn bytes(frame: &Frame<'_>) -> Vec<u8> {
    coracle_link::encode(frame, &mut [0; FRAME_BYTES_MAX]).expect("every frame of ours fits").to_vec()
}

/// Both ends with a session of which neither has sent anything.
fn pair() -> (Initiator, Responder) {
    pair_with(WINDOW, WINDOW)
}

fn pair_with(a_window: Credit, m_window: Credit) -> (Initiator, Responder) {
    let (mut a, mut m) = (Initiator::new(1, VERSIONS, a_window), Responder::new(7, VERSIONS, m_window));
    greet(&mut a, &mut m, 0);
    (a, m)
}

/// Opens a session at that time on both clocks.
fn greet(a: &mut Initiator, m: &mut Responder, now_us: u64) {
    let (_, welcome) = m.receive(&bytes(&a.open(now_us)), now_us);
    let _ = a.receive(&bytes(&welcome.expect("a Welcome")), now_us);
    assert!(a.is_up() && m.is_up());
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        // Not a multiple of the generator's step: the seeds' numbers would be the same ones, shifted.
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Runs `count` seeds, unless the environment says otherwise, and names the ones that fail.
fn each_seed(count: u64, mut run: impl FnMut(&mut Rng) -> Result<(), String>) {
    let number = |name| std::env::var(name).ok().map(|v: String| v.parse::<u64>().expect("a number"));
    let seeds = match number("CORACLE_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("CORACLE_SEEDS").unwrap_or(count),
    };
    let failed: Vec<_> = seeds.filter_map(|s| run(&mut Rng::new(s)).err().map(|e| (s, e))).collect();
    for (seed, error) in failed.iter().take(20) {
        eprintln!("CORACLE_SEED={seed}: {error}");
    }
    assert!(failed.is_empty(), "{} seeds failed, the first: {:?}", failed.len(), failed[0]);
}
