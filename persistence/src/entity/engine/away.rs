//! The things that other replicas send while the entity is not at work: they are kept within a
//! bound, or dropped and read again.

use super::holding::Holding;
use super::news::News;
use super::shared::Shared;
use crate::entity::{EntityCounters, EntitySettings, EventSourced, PeerHas};
use crate::event::StoredEvent;

/// The things that wait until the entity is at work.
#[derive(Debug, Default)]
pub(super) struct Away {
    /// Events of other replicas that came before the entity was at work; at most `arrivals_max`.
    arrivals: Vec<StoredEvent>,
    pub(super) news: News,
    /// The held events.
    pub(super) holding: Holding,
}

impl Away {
    /// Takes events, as far as there is room.
    pub(super) fn arrived<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        events: Vec<StoredEvent>,
    ) {
        let room = shared.settings.arrivals_max - self.arrivals.len();
        let dropped = events.len().saturating_sub(room);
        EntityCounters::add(&shared.counters.arrival_overflows, dropped);
        self.arrivals.extend(events.into_iter().take(room));
    }

    pub(super) fn heard(&mut self, news: PeerHas) {
        self.news.hear(news);
    }

    pub(super) fn take_arrivals(&mut self) -> Vec<StoredEvent> {
        std::mem::take(&mut self.arrivals)
    }

    pub(super) fn check(&self, settings: &EntitySettings) {
        assert!(self.arrivals.len() <= settings.arrivals_max, "too many arrivals");
        self.holding.check();
    }
}
