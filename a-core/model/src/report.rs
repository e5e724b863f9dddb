//! The numbers for an operator.

use std::collections::BTreeMap;

use coracle_api::{ContainerReport, Core as ApiCore, LinkReport, Report};
use coracle_policy::Core;

use crate::entry::{Entry, Move, Place};
use crate::node::Node;

impl Node<'_> {
    /// Everything as it is known now; of containers on M, as M last reported.
    #[must_use]
    pub fn report(&self) -> Report {
        let stats = self.link.stats();
        Report {
            time_us: self.time_us,
            a_asleep: self.asleep,
            containers: self.entries.iter().map(|(name, entry)| (name.to_string(), container(entry))).collect(),
            wakes: self.wakes.clone(),
            wakes_held_back: self.wakes_held_back,
            moves: self.moves.clone(),
            link: LinkReport {
                sessions: self.sessions,
                sent: u64::from(stats.sent),
                received: u64::from(stats.received),
                dropped: u64::from(stats.dropped()),
                bulk_sent_bytes: self.bulk_sent_bytes,
                bulk_received_bytes: self.bulk_received_bytes,
                messages_lost: self.messages_lost,
            },
        }
    }
}

fn container(entry: &Entry) -> ContainerReport {
    let here = entry.usage();
    let m = entry.on_m;
    let mut fuel = BTreeMap::new();
    for (core, used) in [(ApiCore::M, m.fuel), (ApiCore::A, here.fuel_total)] {
        if used > 0 {
            fuel.insert(core, used);
        }
    }
    let refused = u64::from(m.refused) + u64::from(here.refused_calls);
    let base = ContainerReport {
        fuel,
        refused,
        logs_dropped: u64::from(m.logs_dropped) + u64::from(here.logs_dropped),
        dropped: u64::from(m.dropped).saturating_add(entry.gaps()),
        ..ContainerReport::default()
    };
    match &entry.place {
        Place::Starting => ContainerReport { state: "starting".into(), ..base },
        Place::OnM => ContainerReport {
            core: Some(ApiCore::M),
            state: if entry.open.is_some() { "migrating".into() } else { "running".into() },
            memory_bytes: u64::from(m.memory),
            events: m.handled,
            queued: m.queued,
            overhead_bytes: u64::from(m.overhead),
            state_digest: m.digest.map(|d| hex(&d)).unwrap_or_default(),
            ..base
        },
        Place::OnA(body) => ContainerReport {
            core: Some(ApiCore::A),
            state: if matches!(entry.open, Some((_, _, Move::Out { .. }))) { "migrating" } else { "running" }.into(),
            memory_bytes: here.memory_bytes as u64,
            events: body.container.state().handled,
            queued: body.cursor,
            state_digest: hex(&body.container.state_digest()),
            ..base
        },
        Place::Exited(core, reason) => ContainerReport {
            core: Some(if *core == Core::M { ApiCore::M } else { ApiCore::A }),
            state: format!("exited: {reason}"),
            ..base
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
