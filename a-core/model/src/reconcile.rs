//! Where the one live copy of a container is, when a session begins and either side may have died at any instant.
//!
//! Inputs: what M says it holds (when M lives on), what M's retained slots say (when M was reset), and what this core
//! has (in memory, or stored by an earlier life). The table follows from the commit points of `coracle_migrate::role`:
//! the source's durable word decides. [`decide`] is pure, so every combination is tested.

use coracle_lifecycle::State;
use coracle_migrate::role::MigrationId;

use crate::record::Phase;

/// What M says in its inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MCopy {
    /// State on M.
    pub state: State,
    /// As a target, after Ready.
    pub in_doubt: Option<MigrationId>,
    /// As a source, after Commit.
    pub committed: Option<MigrationId>,
}

/// What the retained slot of a reset M says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetainedKind {
    /// It was live on M.
    Live,
    /// It was not on M; the id of the move that took it away, or 0.
    Gone(MigrationId),
}

/// What to do with a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It runs on M; drop what is here.
    OnM,
    /// It ended on M.
    ExitedOnM,
    /// It lives here. Confirm the move with that id to M, if any.
    OnA(Option<MigrationId>),
    /// It lives here; M holds a copy that was never committed: abort that move.
    OnAAbort(MigrationId),
    /// It lives here; M claims to run it, which no order of deaths leads to: M has to remove it.
    OnAOnly,
    /// M holds the copy, the move to it was committed: say Commit again.
    CommitToM(MigrationId),
    /// Deploy to M from the retained checkpoint.
    RestoreRetained,
    /// Deploy to M from the record of the committed move.
    RestoreRecord,
    /// No copy is left: start afresh where it prefers to be. Whether a state was lost, or there never was one.
    Fresh {
        /// A state was lost.
        lost: bool,
    },
}

/// Decides. `known` says whether the container was started before (its absence everywhere is then a loss).
#[must_use]
pub fn decide(m: Option<MCopy>, retained: Option<RetainedKind>, a: Option<Phase>, known: bool) -> Verdict {
    match (m, a) {
        // This core is live until its record says that it is not; only a confused or hostile M says otherwise.
        (Some(MCopy { state: State::Running | State::Frozen | State::Created, .. }), Some(Phase::Live)) => {
            Verdict::OnAOnly
        }
        // M lives on and says so: its word is the freshest there is.
        (Some(MCopy { state: State::Running | State::Frozen | State::Created, .. }), _) => Verdict::OnM,
        (Some(MCopy { state: State::Exited(_), .. }), _) => Verdict::ExitedOnM,
        (Some(MCopy { state: State::Gone, in_doubt: Some(id), .. }), Some(Phase::MovedOut(ours))) if id == ours => {
            Verdict::CommitToM(id)
        }
        (Some(MCopy { state: State::Gone, in_doubt: Some(id), .. }), Some(_)) => Verdict::OnAAbort(id),
        (Some(MCopy { state: State::Gone, committed, .. }), Some(Phase::Prepared(id))) => {
            // M's copy is gone by this very move, or (which the protocol rules out) by another one whose copy we lack.
            Verdict::OnA(committed.filter(|c| *c == id))
        }
        // MovedOut without M being in doubt: M had dropped its copy before it was Ready, so ours is the last one.
        (Some(MCopy { state: State::Gone, .. }), Some(_)) => Verdict::OnA(None),
        (Some(MCopy { state: State::Gone, .. }), None) => Verdict::Fresh { lost: known },
        // M was reset.
        (None, None) => match retained {
            Some(RetainedKind::Live) => Verdict::RestoreRetained,
            Some(RetainedKind::Gone(_)) | None => Verdict::Fresh { lost: known },
        },
        (None, Some(Phase::Live)) => Verdict::OnA(None),
        // Not committed as far as we know: the source's durable word decides.
        (None, Some(Phase::Prepared(_))) => match retained {
            Some(RetainedKind::Live) => Verdict::RestoreRetained,
            // Gone: committed. Nothing retained (power was cut): ours is the last copy there is.
            Some(RetainedKind::Gone(_)) | None => Verdict::OnA(None),
        },
        // We committed to M: the copy there is the live one, and newer than ours if it got as far as going live.
        (None, Some(Phase::MovedOut(_))) => match retained {
            Some(RetainedKind::Live) => Verdict::RestoreRetained,
            Some(RetainedKind::Gone(_)) | None => Verdict::RestoreRecord,
        },
    }
}

#[cfg(test)]
mod tests {
    use coracle_lifecycle::ExitReason;

    use super::*;
    use crate::record::NO_MOVE;

    fn gone(in_doubt: Option<u32>, committed: Option<u32>) -> Option<MCopy> {
        Some(MCopy { state: State::Gone, in_doubt, committed })
    }

    /// The moments at which either side can die in a move M to A, and what must come of it.
    #[test]
    fn move_to_a_at_every_instant() {
        let running = Some(MCopy { state: State::Running, in_doubt: None, committed: None });
        // A died before or after Ready, M had not committed: M resumed.
        assert_eq!(decide(running, None, None, true), Verdict::OnM);
        assert_eq!(decide(running, None, Some(Phase::Prepared(5)), true), Verdict::OnM);
        // M committed, A died before it knew.
        assert_eq!(decide(gone(None, Some(5)), None, Some(Phase::Prepared(5)), true), Verdict::OnA(Some(5)));
        // ... or after it had gone live.
        assert_eq!(decide(gone(None, Some(5)), None, Some(Phase::Live), true), Verdict::OnA(None));
        // M died before its commit point, or after.
        let live = Some(RetainedKind::Live);
        assert_eq!(decide(None, live, Some(Phase::Prepared(5)), true), Verdict::RestoreRetained);
        let gone = Some(RetainedKind::Gone(5));
        assert_eq!(decide(None, gone, Some(Phase::Prepared(5)), true), Verdict::OnA(None));
        assert_eq!(decide(None, gone, Some(Phase::Live), true), Verdict::OnA(None));
        // Power was cut: neither memory is left, the stored copy is.
        assert_eq!(decide(None, None, Some(Phase::Prepared(5)), true), Verdict::OnA(None));
    }

    #[test]
    fn move_to_m_at_every_instant() {
        // A died before its commit point while M was in doubt.
        assert_eq!(decide(gone(Some(6), Some(5)), None, Some(Phase::Live), true), Verdict::OnAAbort(6));
        // ... after it.
        assert_eq!(decide(gone(Some(6), Some(5)), None, Some(Phase::MovedOut(6)), true), Verdict::CommitToM(6));
        // An older move's record does not commit a newer copy.
        assert_eq!(decide(gone(Some(7), None), None, Some(Phase::MovedOut(6)), true), Verdict::OnAAbort(7));
        // M went live, its confirmation was lost.
        let running = Some(MCopy { state: State::Running, in_doubt: None, committed: None });
        assert_eq!(decide(running, None, Some(Phase::MovedOut(6)), true), Verdict::OnM);
        // M died before it went live, or after.
        let gone = Some(RetainedKind::Gone(5));
        assert_eq!(decide(None, gone, Some(Phase::MovedOut(6)), true), Verdict::RestoreRecord);
        assert_eq!(decide(None, gone, Some(Phase::Live), true), Verdict::OnA(None));
        assert_eq!(decide(None, Some(RetainedKind::Live), Some(Phase::MovedOut(6)), true), Verdict::RestoreRetained);
        assert_eq!(decide(None, None, Some(Phase::MovedOut(6)), true), Verdict::RestoreRecord);
    }

    /// No order of deaths leads here, so M is confused or hostile: it does not get what lives here.
    #[test]
    fn an_m_that_claims_what_lives_here_does_not_get_it() {
        for state in [State::Created, State::Running, State::Frozen] {
            let claim = Some(MCopy { state, in_doubt: None, committed: None });
            assert_eq!(decide(claim, None, Some(Phase::Live), true), Verdict::OnAOnly);
            assert_eq!(decide(claim, None, Some(Phase::MovedOut(NO_MOVE)), true), Verdict::OnM);
        }
    }

    #[test]
    fn absence_is_a_loss_only_of_what_was_known() {
        assert_eq!(decide(None, None, None, false), Verdict::Fresh { lost: false });
        assert_eq!(decide(None, None, None, true), Verdict::Fresh { lost: true });
        assert_eq!(decide(None, Some(RetainedKind::Gone(0)), None, true), Verdict::Fresh { lost: true });
        assert_eq!(decide(gone(None, None), None, None, true), Verdict::Fresh { lost: true });
        let exited = Some(MCopy { state: State::Exited(ExitReason::Trap), in_doubt: None, committed: None });
        assert_eq!(decide(exited, None, None, true), Verdict::ExitedOnM);
    }
}
