//! The two roles of a migration between events, as state machines.
//!
//! ```text
//! source: Holding -> Offered -> Sent -> Committed -> (released)
//! target: Accepted -> Ready -> (live)
//!
//! source                                   target
//!   freeze, wait for the drill
//!   Offer ------------------------------->  room, image, grants? instantiate
//!   <------------------------ Accept / Refuse
//!   capture
//!   State (descriptor) ------------------>  copy, verify digest, restore, make durable
//!   <------------------------------- Ready
//!   COMMIT POINT: the source records durably that its copy is gone
//!   Commit ------------------------------>  record durably, go live
//!   <--------------------------- Committed
//!   release
//! ```
//! The source decides, alone and at one point; before it the source's copy is the live one, after it the target's.
//! A source whose link goes down before the commit point runs on. A target whose link goes down before Ready drops its
//! copy; after Ready it is in doubt and keeps the copy, frozen, until the source (or its durable record) says which.

use coracle_guest_abi::Name;
use serde::{Deserialize, Serialize};

use crate::snapshot::DigestBytes;

/// Identifies one migration; never reused on a machine while either side may remember it.
pub type MigrationId = u32;

/// A message of the migration protocol. `B` is the descriptor type of the bulk region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step<B> {
    /// Source: will you take it?
    Offer {
        /// Digest of the module.
        image: DigestBytes,
        /// Linear memory in bytes.
        memory: u32,
    },
    /// Target: yes.
    Accept,
    /// Target: no, for this reason. Nothing changed.
    Refuse(RefuseReason),
    /// Source: here is the snapshot.
    State {
        /// Where it lies.
        bulk: B,
    },
    /// Target: restored, digest right, durable; not live yet.
    Ready,
    /// Source: my copy is gone, yours is the live one.
    Commit,
    /// Target: it runs here.
    Committed,
    /// Either, before the commit point: given up.
    Abort(RefuseReason),
}

/// Why a migration did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefuseReason {
    /// The target does not have the module.
    NoImage,
    /// The target has no memory for it.
    NoMemory,
    /// The target cannot give what the manifest grants it.
    NoGrant,
    /// The container is already there, or another migration of it is open.
    Busy,
    /// The snapshot did not decode, verify or restore.
    BadState,
    /// The container is not on this core, or not portable.
    NotHere,
    /// The link went down before the commit point.
    LinkLost,
    /// The snapshot does not fit the bulk region.
    TooLarge,
}

impl RefuseReason {
    /// A short lower-case phrase.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RefuseReason::NoImage => "the target does not have the module",
            RefuseReason::NoMemory => "the target has too little memory",
            RefuseReason::NoGrant => "the target cannot give what the container is granted",
            RefuseReason::Busy => "the target already has a copy or another move is open",
            RefuseReason::BadState => "the snapshot did not restore",
            RefuseReason::NotHere => "the container is not there or cannot move",
            RefuseReason::LinkLost => "the link went down",
            RefuseReason::TooLarge => "the snapshot is too large",
        }
    }
}

/// Where a source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourcePhase {
    /// Frozen, waiting until `queued_min` events wait or the deadline passes.
    Holding {
        /// Events that shall wait undelivered.
        queued_min: u8,
        /// When to go on regardless, in microseconds.
        deadline_us: u64,
    },
    /// Offer sent.
    Offered,
    /// State sent.
    Sent,
    /// Past the commit point; Commit is sent until Committed arrives.
    Committed,
}

/// The source role of one migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The migration.
    pub id: MigrationId,
    /// The container.
    pub name: Name,
    /// Where it stands.
    pub phase: SourcePhase,
}

/// What a source has to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum SourceAction {
    /// Nothing.
    Nothing,
    /// Send the Offer.
    SendOffer,
    /// Capture and send the State; if that fails, call [`Source::give_up`].
    SendState,
    /// Record durably that the copy here is gone, then send Commit.
    Commit,
    /// Send Commit again.
    SendCommit,
    /// The target has it: forget what is left here.
    Release,
    /// Run on here. With the reason, unless the source itself gave up.
    Resume(RefuseReason),
}

impl Source {
    /// A migration out of this core; the container was just frozen.
    #[must_use]
    pub fn new(id: MigrationId, name: Name, queued_min: u8, deadline_us: u64) -> Self {
        Self { id, name, phase: SourcePhase::Holding { queued_min, deadline_us } }
    }

    /// Something was queued, or time passed.
    pub fn poll(&mut self, queued: usize, now_us: u64) -> SourceAction {
        match self.phase {
            SourcePhase::Holding { queued_min, deadline_us }
                if queued >= usize::from(queued_min) || now_us >= deadline_us =>
            {
                self.phase = SourcePhase::Offered;
                SourceAction::SendOffer
            }
            _ => SourceAction::Nothing,
        }
    }

    /// The target answered. Answers that do not fit the phase are ignored: they are of an earlier try.
    pub fn answer<B>(&mut self, step: &Step<B>) -> SourceAction {
        match (self.phase, step) {
            (SourcePhase::Offered, Step::Accept) => {
                self.phase = SourcePhase::Sent;
                SourceAction::SendState
            }
            (SourcePhase::Sent, Step::Ready) => {
                self.phase = SourcePhase::Committed;
                SourceAction::Commit
            }
            (SourcePhase::Committed, Step::Committed) => SourceAction::Release,
            (SourcePhase::Offered | SourcePhase::Sent, Step::Refuse(reason) | Step::Abort(reason)) => {
                SourceAction::Resume(*reason)
            }
            _ => SourceAction::Nothing,
        }
    }

    /// The link went down and may come back.
    pub fn link_down(&mut self) -> SourceAction {
        if self.phase == SourcePhase::Committed {
            SourceAction::Nothing
        } else {
            SourceAction::Resume(RefuseReason::LinkLost)
        }
    }

    /// A new session began: a source past its commit point says so again.
    pub fn link_up(&self) -> SourceAction {
        if self.phase == SourcePhase::Committed { SourceAction::SendCommit } else { SourceAction::Nothing }
    }
}

/// Where a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetPhase {
    /// Accept sent, waiting for the State.
    Accepted,
    /// Ready sent: in doubt until Commit or Abort.
    Ready,
}

/// The target role of one migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The migration.
    pub id: MigrationId,
    /// The container.
    pub name: Name,
    /// Where it stands.
    pub phase: TargetPhase,
}

/// What a target has to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum TargetAction {
    /// Nothing.
    Nothing,
    /// Copy, verify and restore the State, make it durable, then call [`Target::restored`].
    Restore,
    /// Record durably, let the copy run, send Committed.
    GoLive,
    /// Drop the copy.
    Drop,
}

impl Target {
    /// An offer that this core accepted.
    #[must_use]
    pub fn new(id: MigrationId, name: Name) -> Self {
        Self { id, name, phase: TargetPhase::Accepted }
    }

    /// The source said something about this migration.
    pub fn told<B>(&mut self, step: &Step<B>) -> TargetAction {
        match (self.phase, step) {
            (TargetPhase::Accepted, Step::State { .. }) => TargetAction::Restore,
            (TargetPhase::Ready, Step::Commit) => TargetAction::GoLive,
            (_, Step::Abort(_)) => TargetAction::Drop,
            _ => TargetAction::Nothing,
        }
    }

    /// The State is restored and durable: Ready may be sent.
    pub fn restored(&mut self) {
        self.phase = TargetPhase::Ready;
    }

    /// The link went down.
    pub fn link_down(&self) -> TargetAction {
        match self.phase {
            TargetPhase::Accepted => TargetAction::Drop,
            TargetPhase::Ready => TargetAction::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(phase: SourcePhase) -> Source {
        Source { id: 1, name: Name::new(), phase }
    }

    #[test]
    fn the_drill_waits_for_events_but_not_for_ever() {
        let mut s = Source::new(1, Name::new(), 2, 100);
        assert_eq!(s.poll(1, 99), SourceAction::Nothing);
        assert_eq!(s.poll(2, 99), SourceAction::SendOffer);
        assert_eq!(s.poll(2, 99), SourceAction::Nothing, "offered once");
        let mut s = Source::new(1, Name::new(), 2, 100);
        assert_eq!(s.poll(0, 100), SourceAction::SendOffer);
    }

    /// Every phase of the source against every message: only the drawn arrows act.
    #[test]
    fn the_source_acts_on_the_drawn_arrows_only() {
        let reason = RefuseReason::NoMemory;
        let phases = [
            SourcePhase::Holding { queued_min: 0, deadline_us: 0 },
            SourcePhase::Offered,
            SourcePhase::Sent,
            SourcePhase::Committed,
        ];
        let steps: [Step<()>; 8] = [
            Step::Offer { image: [0; 32], memory: 0 },
            Step::Accept,
            Step::Refuse(reason),
            Step::State { bulk: () },
            Step::Ready,
            Step::Commit,
            Step::Committed,
            Step::Abort(reason),
        ];
        for phase in phases {
            for step in &steps {
                let want = match (phase, step) {
                    (SourcePhase::Offered, Step::Accept) => SourceAction::SendState,
                    (SourcePhase::Sent, Step::Ready) => SourceAction::Commit,
                    (SourcePhase::Committed, Step::Committed) => SourceAction::Release,
                    (SourcePhase::Offered | SourcePhase::Sent, Step::Refuse(_) | Step::Abort(_)) => {
                        SourceAction::Resume(reason)
                    }
                    _ => SourceAction::Nothing,
                };
                assert_eq!(source(phase).answer(step), want, "{phase:?} {step:?}");
            }
        }
    }

    #[test]
    fn a_lost_link_leaves_one_live_copy() {
        for phase in [SourcePhase::Offered, SourcePhase::Sent] {
            assert_eq!(source(phase).link_down(), SourceAction::Resume(RefuseReason::LinkLost));
            assert_eq!(source(phase).link_up(), SourceAction::Nothing);
        }
        assert_eq!(source(SourcePhase::Committed).link_down(), SourceAction::Nothing);
        assert_eq!(source(SourcePhase::Committed).link_up(), SourceAction::SendCommit);
        let mut t = Target::new(1, Name::new());
        assert_eq!(t.link_down(), TargetAction::Drop);
        assert_eq!(t.told::<()>(&Step::Commit), TargetAction::Nothing, "nothing to commit before Ready");
        assert_eq!(t.told(&Step::State { bulk: () }), TargetAction::Restore);
        t.restored();
        assert_eq!(t.link_down(), TargetAction::Nothing, "in doubt: only the source knows");
        assert_eq!(t.told::<()>(&Step::Commit), TargetAction::GoLive);
        assert_eq!(t.told::<()>(&Step::Abort(RefuseReason::LinkLost)), TargetAction::Drop);
    }
}
