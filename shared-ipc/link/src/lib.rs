//! The link: the A-M connection above one RPMsg endpoint. Version agreement, sessions, sequence, credit, heartbeat, and
//! the offset between the two cores' clocks.
//!
//! Sans-IO: frames and the time go in, frames and [`Event`]s come out. It does not queue: messages that may not be sent
//! yet stay with the caller, which asks [`Initiator::next`] or [`Responder::next`] whose turn it is.
//!
//! # Sessions
//! A session is one life of both sides together; each side gives it a number of its own that it never gives again, so a
//! frame of any other session is counted and dropped, and nothing from before a reset is ever taken for new. The A side
//! ([`Initiator`]) opens sessions and watches the M side by heartbeat while A is awake; the M side ([`Responder`]) only
//! answers, so that it is silent while A sleeps.
//!
//! RPMsg loses nothing while both sides live (a kernel between them may, when it runs out of memory), so there are no
//! retransmissions: the answer to a gap in the sequence is a new session. Ping and Pong carry the sequence too, so that
//! a loss shows when no other message follows. What a lost session leaves undone is for the layers above, which keep
//! every message of consequence until it is answered.
//!
//! ```text
//! Initiator: Down --open()--> Greeting --Welcome--> Up --silence, gap, credit broken, Reset--> Down
//!                                \--Reject--> Refused
//! ```
//!
//! # Credit
//! Every message belongs to a [`Channel`]. The receiver says how many messages of each channel it has room for, counted
//! from the start of the session ([`Credit`]); the first number comes with Hello or Welcome, later ones in every other
//! frame, and in one of their own when there is no other. A sender without credit keeps its messages
//! ([`SendError::NoCredit`]). Invariant: what was granted and not used yet is at most the room that the receiver really
//! has ([`Credit::for_buffers`]), so nothing is dropped for want of buffers. A message beyond the credit is a fault of
//! the sender and ends the session.
#![no_std]
#![forbid(unsafe_code)]

mod clock;
mod credit;
mod frame;
mod initiator;
mod responder;
mod session;

pub use clock::{CLOCK_DRIFT_PPM, ClockOffset};
pub use credit::{CREDIT_MAX, Channel, Credit, WINDOW_MAX};
pub use frame::{BODY_BYTES_MAX, FRAME_BYTES_MAX, Frame, SessionId, VERSIONS, Versions, encode};
pub use initiator::{CLOCK_PINGS, CLOCK_REFRESH_US, HEARTBEAT_US, Initiator, SILENCE_US_MAX};
pub use responder::Responder;
pub use session::{DownReason, DropReason, Event, LinkStats, SendError};

/// The RPMsg channel that the M core announces.
pub const CHANNEL: &str = "coracle-link";
