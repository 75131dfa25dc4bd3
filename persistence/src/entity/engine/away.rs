//! The things that other replicas send while the entity is not at work: they are kept within a
//! bound, or dropped and read again.

use std::time::Duration;

use tokio::time::Instant;

use super::holding::Holding;
use super::news::News;
use super::shared::Shared;
use crate::entity::{EntityCounters, EntitySettings, EventSourced, PeerHas};
use crate::event::StoredEvent;

/// Longest time for which arrivals are kept. The place that has written an event may lose its
/// journal and go back while the event is kept here only; it then gives the number to another
/// event, and this one must not be stored any more. Not a setting: the ten seconds that
/// docs/restore.md asks an operator to wait are longer.
const ARRIVAL_AGE_MAX: Duration = Duration::from_secs(3);

/// The things that wait until the entity is at work.
#[derive(Debug, Default)]
pub(super) struct Away {
    /// Events of other replicas that came before the entity was at work; at most `arrivals_max`.
    arrivals: Vec<StoredEvent>,
    /// The time at which the first of them came.
    since: Option<Instant>,
    pub(super) news: News,
    /// The held events.
    pub(super) holding: Holding,
}

impl Away {
    /// Takes events, as far as there is room.
    pub(super) fn arrived<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Instant,
        events: Vec<StoredEvent>,
    ) {
        self.drop_old(shared, now);
        self.since.get_or_insert(now);
        let room = shared.settings.arrivals_max - self.arrivals.len();
        let dropped = events.len().saturating_sub(room);
        EntityCounters::add(&shared.counters.arrival_overflows, dropped);
        self.arrivals.extend(events.into_iter().take(room));
    }

    pub(super) fn heard(&mut self, news: PeerHas) {
        self.news.hear(news);
    }

    /// The arrivals that are not too old. The others are read from the journals of their replicas.
    pub(super) fn take_arrivals<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Instant,
    ) -> Vec<StoredEvent> {
        self.drop_old(shared, now);
        self.since = None;
        std::mem::take(&mut self.arrivals)
    }

    /// Drops all arrivals when the first of them is too old.
    fn drop_old<E: EventSourced>(&mut self, shared: &Shared<E>, now: Instant) {
        if self.since.is_some_and(|since| now - since > ARRIVAL_AGE_MAX) {
            EntityCounters::add(&shared.counters.arrival_overflows, self.arrivals.len());
            self.arrivals.clear();
            self.since = None;
        }
    }

    pub(super) fn check(&self, settings: &EntitySettings) {
        assert!(self.arrivals.len() <= settings.arrivals_max, "too many arrivals");
        self.holding.check();
    }
}
