//! The progress of a journal loop for the operator, with the entities that hold back.

use std::collections::BTreeMap;

use antiphon_persistence::entity::HeldEvent;
use antiphon_persistence::identity::{PersistenceId, ReplicaId};
use serde::Serialize;
use tokio::time::Instant;

use super::JournalLoop;

/// Most entities that are listed by name.
const HELD_LISTED_MAX: usize = 20;

/// Progress of a shard in the feed of one other replica.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct LoopProgress {
    #[serde(rename = "peer")]
    other: String,
    position: String,
    /// Number of entities that are behind.
    pub(super) entities_behind: usize,
    /// Seconds for which the oldest of them has been behind.
    behind_for_seconds: f64,
    /// Seconds since the last read of the feed; `None` before the first read.
    read_before_seconds: Option<f64>,
    /// Number of entities that hold back events because one event cannot be applied here.
    entities_held: usize,
    /// At most 20 of these entities, with the event.
    held: Vec<HeldEntity>,
}

/// An entity that holds back events.
#[derive(Debug, Clone, Serialize)]
struct HeldEntity {
    entity: String,
    /// The replica at which the event was written, and the event's number there; `None` until the
    /// entity has named the event since the start of the loop.
    origin: Option<String>,
    number: Option<u64>,
    why: Option<String>,
}

/// A report of an entity that holds back.
#[derive(Debug)]
pub(super) struct Report {
    /// The origin of the event and its number there; `None` when the entity cannot start or go on.
    event: Option<(String, u64)>,
    why: String,
}

impl Report {
    /// The entity cannot apply this event.
    pub(super) fn held(held: &HeldEvent) -> Self {
        Self { event: Some((held.origin.to_string(), held.number)), why: held.why.clone() }
    }

    /// The entity cannot start, or cannot go on.
    pub(super) fn cannot(why: &str) -> Self {
        Self { event: None, why: why.to_owned() }
    }
}

/// The last reports of at most 20 entities that hold back.
#[derive(Debug, Default)]
pub(super) struct Reports(BTreeMap<PersistenceId, Report>);

impl Reports {
    /// Notes a report. The entities that are listed have precedence.
    pub(super) fn note(&mut self, core: &JournalLoop, id: &PersistenceId, report: Report) {
        if self.0.len() >= HELD_LISTED_MAX && !self.0.contains_key(id) {
            let listed: Vec<_> = core.held().take(HELD_LISTED_MAX).collect();
            self.0.retain(|id, _| listed.contains(&id));
        }
        if self.0.len() < HELD_LISTED_MAX || self.0.contains_key(id) {
            self.0.insert(id.clone(), report);
        }
    }

    fn listed(&self, core: &JournalLoop) -> Vec<HeldEntity> {
        let entity = |id: &PersistenceId| {
            let last = self.0.get(id);
            let event = last.and_then(|last| last.event.clone());
            HeldEntity {
                entity: id.to_string(),
                origin: event.as_ref().map(|(origin, _)| origin.clone()),
                number: event.map(|(_, number)| number),
                why: last.map(|last| last.why.clone()),
            }
        };
        core.held().take(HELD_LISTED_MAX).map(entity).collect()
    }
}

impl LoopProgress {
    pub(super) fn of(
        other: &ReplicaId,
        core: &JournalLoop,
        reports: &Reports,
        now: Instant,
    ) -> Self {
        let behind = core.behind();
        let seconds_since = |at: Instant| now.saturating_duration_since(at).as_secs_f64();
        Self {
            entities_held: core.held().count(),
            held: reports.listed(core),
            other: other.to_string(),
            position: core.position().to_string(),
            entities_behind: behind.map_or(0, |(count, _)| count),
            behind_for_seconds: behind.map_or(0.0, |(_, since)| seconds_since(since)),
            read_before_seconds: core.last_read().map(seconds_since),
        }
    }
}
