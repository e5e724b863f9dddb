//! The frames on the wire.

use serde::{Deserialize, Serialize};

use crate::credit::{Channel, Credit};

/// Largest frame: one RPMsg payload.
pub const FRAME_BYTES_MAX: usize = 496;
/// Largest body of a [`Frame::Data`] that surely fits a frame with its head.
pub const BODY_BYTES_MAX: usize = 440;

/// An inclusive range of protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Oldest version spoken.
    pub min: u16,
    /// Newest version spoken.
    pub max: u16,
}

/// What this build speaks. Versions 1 and 2 were never released.
pub const VERSIONS: Versions = Versions { min: 3, max: 3 };

impl Versions {
    /// The newest version that both speak.
    #[must_use]
    pub fn common(self, other: Versions) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }
}

impl core::fmt::Display for Versions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{} to {}", self.min, self.max) }
    }
}

/// Identifies a session: the nonces that each side gave. A side gives a nonce once, in all its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionId {
    /// The A side's nonce.
    pub a: u64,
    /// The M side's nonce.
    pub m: u64,
}

/// The nonce of session number `count` of life number `life` of a side. After 16 million sessions in one life the
/// numbers are those of the next: only a side that loses a session every few microseconds for minutes comes that far.
pub(crate) fn nonce(life: u32, count: u32) -> u64 {
    (u64::from(life) << 24).wrapping_add(u64::from(count))
}

/// The frames of the link, postcard-encoded.
///
/// Versions, nonce and number of Hello and Reject are the same in every version of the protocol, whatever may follow
/// them: by these, two builds that have no version in common refuse each other by name. All other frames, and new ones
/// at the end, belong to the version that the session agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame<'a> {
    /// A opens a session.
    Hello {
        /// What A speaks.
        versions: Versions,
        /// A's nonce.
        nonce: u64,
        /// What A has room for.
        credit: Credit,
    },
    /// M accepts.
    Welcome {
        /// The version of the session.
        version: u16,
        /// The session.
        session: SessionId,
        /// What M has room for.
        credit: Credit,
    },
    /// M refuses: no common version.
    Reject {
        /// What M speaks.
        versions: Versions,
        /// The nonce of the Hello that is refused.
        nonce: u64,
    },
    /// A message of the layer above.
    Data {
        /// The session.
        session: SessionId,
        /// The channel whose credit it uses.
        channel: Channel,
        /// Counts the Data frames of this direction and session from 0, over both channels.
        seq: u32,
        /// What the sender has room for.
        credit: Credit,
        /// When it was sent, in microseconds of the sender's clock.
        sent_us: u64,
        /// The message.
        body: &'a [u8],
    },
    /// A asks for a sign of life and the time.
    Ping {
        /// The session.
        session: SessionId,
        /// The number of A's next Data frame: those before it were sent before this.
        seq: u32,
        /// What A has room for.
        credit: Credit,
        /// When it was asked, in microseconds of A's clock.
        asked_us: u64,
    },
    /// M answers.
    Pong {
        /// The session.
        session: SessionId,
        /// The number of M's next Data frame: those before it were sent before this.
        seq: u32,
        /// What M has room for.
        credit: Credit,
        /// From the question.
        asked_us: u64,
        /// When the question was taken, in microseconds of M's clock.
        received_us: u64,
        /// When the answer was made, in microseconds of M's clock.
        sent_us: u64,
    },
    /// There is more room, and no other frame to say so.
    Credit {
        /// The session.
        session: SessionId,
        /// What the sender has room for.
        credit: Credit,
    },
    /// M does not know this session, or gives it up: A has to open another.
    Reset {
        /// The session.
        session: SessionId,
    },
}

/// The number of [`Frame::Hello`].
const HELLO: u32 = 0;
/// The number of [`Frame::Reject`].
const REJECT: u32 = 2;

/// Encodes a frame into `out`; `None` when it does not fit.
#[must_use]
pub fn encode<'o>(frame: &Frame<'_>, out: &'o mut [u8; FRAME_BYTES_MAX]) -> Option<&'o [u8]> {
    postcard::to_slice(frame, out).ok().map(|used| &*used)
}

/// Decodes a frame of this version; trailing bytes are refused.
pub(crate) fn decode(bytes: &[u8]) -> Option<Frame<'_>> {
    let (frame, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(frame)
}

/// Versions and nonce of a Hello of any version.
pub(crate) fn hello(bytes: &[u8]) -> Option<(Versions, u64)> {
    greeting(bytes, HELLO)
}

/// Versions and nonce of a Reject of any version.
pub(crate) fn reject(bytes: &[u8]) -> Option<(Versions, u64)> {
    greeting(bytes, REJECT)
}

fn greeting(bytes: &[u8], number: u32) -> Option<(Versions, u64)> {
    let ((found, versions, nonce), _) = postcard::take_from_bytes::<(u32, Versions, u64)>(bytes).ok()?;
    (found == number).then_some((versions, nonce))
}
