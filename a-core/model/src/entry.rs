//! One container as the A core knows it.

use std::collections::VecDeque;

use coracle_engine::{Container, EngineHandle, OwnedEvent, Usage};
use coracle_guest_abi::EventKind;
use coracle_migrate::role::{Source, SourcePhase, Target};
use coracle_migrate::snapshot::{DigestBytes, EVENTS_MAX, EventHead, SNAPSHOT_BYTES_MAX, Snapshot};
use coracle_policy::{Core, PlacementState};

use crate::plan::{Placement, Plan};

/// Room that the encoding of a snapshot needs beside memory and payloads, in bytes.
const SNAPSHOT_OVERHEAD_BYTES: usize = 1024;

/// A copy with a body: live, frozen for a move, or restored and not live yet.
pub(crate) struct Body {
    pub(crate) container: Container,
    pub(crate) queue: VecDeque<OwnedEvent>,
    /// Sequence number of the last event that was queued.
    pub(crate) cursor: u64,
    /// Events that were missing in the stream, or found the queue full.
    pub(crate) gaps: u64,
}

/// Most events that wait here: what a snapshot carries.
const QUEUE_MAX: usize = EVENTS_MAX;

impl Body {
    pub(crate) fn restore(engine: &EngineHandle, plan: &Plan, snapshot: &Snapshot<'_>) -> Result<Self, String> {
        let container = Container::restore(engine, &plan.module, &plan.spec, snapshot).map_err(|e| e.to_string())?;
        let queue = snapshot
            .events()
            .filter_map(|(head, payload)| {
                let kind = EventKind::from_u8(head.kind)?;
                let (seq, source, time_us) = (head.seq, head.source, head.time_us);
                Some(OwnedEvent { seq, kind, source, time_us, payload: payload.to_vec() })
            })
            .collect();
        Ok(Self { container, queue, cursor: snapshot.head().host.cursor, gaps: 0 })
    }

    pub(crate) fn fresh(engine: &EngineHandle, plan: &Plan, cursor: u64) -> Result<Self, String> {
        let container = Container::load(engine, &plan.module, &plan.spec).map_err(|e| e.to_string())?;
        Ok(Self { container, queue: VecDeque::new(), cursor, gaps: 0 })
    }

    /// Queues an event of M's stream unless it is a repeat.
    pub(crate) fn push(&mut self, event: OwnedEvent) {
        if event.seq <= self.cursor {
            return;
        }
        self.gaps = self.gaps.saturating_add(event.seq - self.cursor - 1);
        self.cursor = event.seq;
        self.push_local(event, QUEUE_MAX);
    }

    /// Queues an event unless `room` or more wait.
    pub(crate) fn push_local(&mut self, event: OwnedEvent, room: usize) {
        if self.queue.len() < room.min(QUEUE_MAX) {
            self.queue.push_back(event);
        } else {
            self.gaps = self.gaps.saturating_add(1);
        }
    }

    /// The whole state, with the queue, encoded. `None` when it is over the format's limits or not idle.
    pub(crate) fn capture(&mut self) -> Option<Vec<u8>> {
        self.container.host_mut().cursor = self.cursor;
        let payloads: usize = self.queue.iter().map(|e| e.payload.len() + 32).sum();
        let mut out = vec![0; self.container.usage().memory_bytes + payloads + SNAPSHOT_OVERHEAD_BYTES];
        let queued = self.queue.iter().map(|e| {
            let head = EventHead { seq: e.seq, kind: e.kind as u8, source: e.source, time_us: e.time_us, len: 0 };
            (head, e.payload.as_slice())
        });
        let len = self.container.capture(queued, &mut out).ok().filter(|len| *len <= SNAPSHOT_BYTES_MAX)?;
        out.truncate(len);
        Some(out)
    }

    /// The last event that was handled: everything before the queue.
    pub(crate) fn handled_seq(&self) -> u64 {
        self.queue.iter().find(|e| e.seq > 0).map_or(self.cursor, |e| e.seq - 1)
    }
}

/// An open move.
#[expect(clippy::large_enum_variant, reason = "there are few containers, and a move ends soon")]
pub(crate) enum Move {
    /// To A: asked for, M has not offered yet.
    Asked,
    /// To A: accepted; with the restored copy once it is Ready.
    In { target: Target, prepared: Option<Body>, bytes: u64, queued: u32 },
    /// To M.
    Out { source: Source, bytes: u64, queued: u32 },
}

/// Where the container is.
pub(crate) enum Place {
    /// Nowhere yet: being started.
    Starting,
    /// M has it.
    OnM,
    /// Here.
    OnA(Box<Body>),
    /// Ended, on that core, for that reason.
    Exited(Core, String),
}

pub(crate) struct Entry {
    pub(crate) plan: Plan,
    pub(crate) place: Place,
    pub(crate) open: Option<(u32, u64, Move)>,
    /// Conditions of the placement rules, counted since it came to where it is.
    pub(crate) placement: PlacementState,
    /// After a refused move: not before this time, in microseconds.
    pub(crate) retry_us: u64,
    /// Moves that were refused since it came to where it is.
    pub(crate) refusals: u8,
    /// The last move to A that was committed here: its Commit may be repeated.
    pub(crate) moved_in: Option<u32>,
    /// It was started before, by this or an earlier supervisor.
    pub(crate) known: bool,
    /// What earlier lives of it on this core used, and events that they missed.
    pub(crate) earlier: Usage,
    pub(crate) earlier_gaps: u64,
    /// What M last said of it.
    pub(crate) on_m: MNumbers,
}

/// M's numbers of a container, as last reported.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MNumbers {
    pub(crate) memory: u32,
    pub(crate) fuel: u64,
    pub(crate) handled: u64,
    pub(crate) queued: u64,
    pub(crate) dropped: u32,
    pub(crate) refused: u32,
    pub(crate) digest: Option<DigestBytes>,
}

impl Entry {
    pub(crate) fn new(plan: Plan) -> Self {
        let placement = PlacementState::arrived(plan.placement.initial());
        Self {
            plan,
            place: Place::Starting,
            open: None,
            placement,
            retry_us: 0,
            refusals: 0,
            moved_in: None,
            known: false,
            earlier: Usage::default(),
            earlier_gaps: 0,
            on_m: MNumbers::default(),
        }
    }

    /// It is on that core now: conditions count anew.
    pub(crate) fn arrived(&mut self, core: Core) {
        self.placement = PlacementState::arrived(core);
        (self.retry_us, self.refusals) = (0, 0);
        self.known = true;
    }

    pub(crate) fn body(&mut self) -> Option<&mut Body> {
        match &mut self.place {
            Place::OnA(body) => Some(body),
            _ => None,
        }
    }

    /// Whether the copy here is the one that counts.
    pub(crate) fn is_live(&self) -> bool {
        let committed = matches!(
            &self.open,
            Some((_, _, Move::Out { source, .. })) if source.phase == SourcePhase::Committed
        );
        matches!(self.place, Place::OnA(_)) && !committed
    }

    /// Whether it is here and may handle events: not while it is being moved away.
    pub(crate) fn is_runnable(&self) -> bool {
        match &self.place {
            Place::OnA(body) => {
                !matches!(self.open, Some((_, _, Move::Out { .. })))
                    && (!body.queue.is_empty() || !body.container.host().initialised)
            }
            _ => false,
        }
    }

    /// Where a rule wants it to be, if that is not where it is.
    pub(crate) fn wanted(&self) -> Option<Core> {
        match &self.plan.placement {
            Placement::Any { moves, .. } => moves.evaluate(&self.placement),
            Placement::Fixed(_) => None,
        }
    }

    /// What it used on this core, over all its lives here.
    pub(crate) fn usage(&self) -> Usage {
        let now = match &self.place {
            Place::OnA(body) => body.container.usage(),
            _ => Usage::default(),
        };
        Usage {
            memory_bytes: now.memory_bytes,
            fuel_total: self.earlier.fuel_total + now.fuel_total,
            events: self.earlier.events + now.events,
            refused_calls: self.earlier.refused_calls.saturating_add(now.refused_calls),
        }
    }

    /// Events that were missing here, over all its lives here.
    pub(crate) fn gaps(&self) -> u64 {
        let now = if let Place::OnA(body) = &self.place { body.gaps } else { 0 };
        self.earlier_gaps.saturating_add(now)
    }

    /// Takes the body away and keeps what it used.
    pub(crate) fn drop_body(&mut self, place: Place) {
        self.earlier_gaps = self.gaps();
        self.earlier = Usage { memory_bytes: 0, ..self.usage() };
        self.place = place;
    }
}
