//! Events of other replicas: by direct replication, and read from their journals.
//!
//! A pull reads on in another replica's stream after the position there: the entity has seen every
//! event up to the position. Triggers of a pull:
//! - the entity starts;
//! - a gap shows, or an origin that is held back is due again;
//! - the journal loop brings news;
//! - a doubted replica must be asked.

use tokio::time::Instant;

use super::core::Shared;
use super::holding::is_skipped;
use super::limits;
use super::peers::{Beyond, Peer};
use super::persisting::Due;
use super::running::Running;
use super::{Action, Now};
use crate::Result;
use crate::delivery::Offered;
use crate::entity::{EntityCounters, EventSourced};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::store::ReplayPage;

/// Reads in a row whose first event waits for others; then the other replica's journal is read
/// anew. Causes that a third replica has written mostly arrive before.
const CAUSELESS_MAX: u8 = 8;

impl<E: EventSourced> Running<E> {
    /// Takes events that came by direct replication.
    pub(super) fn arrived(&mut self, shared: &Shared<E>, now: Now, events: Vec<StoredEvent>) {
        let mut group = Vec::new();
        for event in events {
            self.offer(shared, now, event, &mut group);
        }
        EntityCounters::add(&shared.counters.events_direct, group.len());
        self.collect_others(shared, group);
    }

    /// Takes one event; events that become ready with it are applied and go into `group`.
    fn offer(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        mut event: StoredEvent,
        group: &mut Vec<StoredEvent>,
    ) -> Offered {
        if self.spoilt.is_some() {
            // the event is read again after the restart
            return Offered::Full;
        }
        let origin = &event.meta.origin;
        let is_own = origin == shared.id.replica_id();
        if is_own || self.peers.get(origin).is_none() {
            // an own event comes back, or the event is of a replica that this entity does not know
            if self.delivery.is_duplicate(&event) {
                if is_own {
                    self.compare_own(shared, &event);
                }
                EntityCounters::add(&shared.counters.events_duplicate, 1);
                return Offered::Duplicate;
            }
            if !is_own {
                tracing::warn!(id = %shared.id, %origin, "an event of an unknown replica is ignored");
                return Offered::Full;
            }
            self.doubts.found_behind();
        }
        if is_skipped(&event) && !self.delivery.is_duplicate(&event) {
            // another replica skipped it: its origin's journal has it with its content
            return Offered::Full;
        }
        if self.delivery.passes(&mut event) {
            self.apply_ready(shared, now, event, group);
            return Offered::Ready;
        }
        let offered = self.delivery.offer(event);
        match offered {
            Offered::Duplicate => EntityCounters::add(&shared.counters.events_duplicate, 1),
            Offered::Full => {
                self.peers.is_calm = false;
                EntityCounters::add(&shared.counters.waiting_overflows, 1);
            }
            Offered::Waiting | Offered::Held => self.peers.is_calm = false,
            Offered::Ready => {
                while self.spoilt.is_none()
                    && let Some(ready) = self.delivery.take_ready()
                {
                    self.apply_ready(shared, now, ready, group);
                }
            }
        }
        offered
    }

    /// Applies an event that delivery has noted as seen; it goes into `group`, or is held.
    fn apply_ready(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        mut ready: StoredEvent,
        group: &mut Vec<StoredEvent>,
    ) {
        if !self.apply_or_hold(shared, now, &mut ready) {
            self.peers.is_calm = false;
            return;
        }
        let meta = &ready.meta;
        if shared.settings.delete_events
            && let Some(peer) = self.peers.get_mut(&meta.origin)
        {
            peer.has.merge(&meta.version);
        }
        if meta.origin == *shared.id.replica_id() {
            EntityCounters::add(&shared.counters.events_reclaimed, 1);
        }
        self.peers.reached(&meta.origin, meta.source_seq);
        group.push(ready);
    }

    fn collect_others(&mut self, shared: &Shared<E>, events: Vec<StoredEvent>) {
        for group in limits::cut(&shared.limits, shared.settings.append_events_max, events) {
            self.persisting.collect(group);
        }
        self.snapshot_if_due(shared);
    }

    /// Takes the next events of another replica's stream.
    pub(super) fn pulled(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        replica: &ReplicaId,
        result: Result<ReplayPage>,
    ) {
        self.peers.is_calm = false;
        let Some(peer) = self.peers.get_mut(replica) else { return };
        peer.reading = false;
        let ReplayPage { events, highest } = match result {
            Ok(page) => page,
            Err(error) => {
                EntityCounters::add(&shared.counters.pulls_failed, 1);
                tracing::debug!(id = %shared.id, %replica, %error, "reading its journal failed");
                peer.retry_at = Some(now.instant + retry_wait(shared, peer.attempts));
                peer.attempts += 1;
                self.doubts.failed(replica, &error.to_string());
                return;
            }
        };
        if peer.beyond.is_some() {
            return self.looked_beyond(shared, now, replica, events);
        }
        (peer.attempts, peer.held) = (0, None);
        let first = events.first().map(|event| event.sequence_nr);
        let last = events.last().map(|event| event.sequence_nr);
        let mut is_end = last.is_none() || last == highest;
        let (mut group, mut moved) = (Vec::with_capacity(events.len()), false);
        let mut held = None;
        for event in events {
            let (row, origin, number) =
                (event.sequence_nr, event.meta.origin.clone(), event.meta.origin_nr());
            self.offer(shared, now, event, &mut group);
            if number <= self.delivery.seen().get(&origin) {
                self.peers.reached(replica, row);
                moved = true;
                continue;
            }
            // it cannot be applied, its causes are not in that journal any more, or there is no
            // room: it is read again later
            is_end = false;
            held = self.holding.holds(&origin).then_some(origin);
            break;
        }
        EntityCounters::add(&shared.counters.events_pulled, group.len());
        self.collect_others(shared, group);
        if is_end {
            self.peers.get_mut(replica).expect("seen above").at_start = false;
            self.doubts.answered(replica, self.newest);
        }
        if let (false, Some(first), None) = (moved, first, &held) {
            self.doubts.failed(replica, CAUSES_MISSING);
            let is_asked = self.doubts.is_asked(replica);
            let is_stuck = self.peers.get_mut(replica).is_some_and(|peer| {
                peer.causeless = peer.causeless.saturating_add(1);
                peer.causeless >= CAUSELESS_MAX
            });
            if is_asked || is_stuck {
                // the causes may be in rows before the position, which had other events when the
                // entity read them
                self.peers.begin_anew(replica, first);
            }
        } else if let Some(peer) = self.peers.get_mut(replica) {
            peer.causeless = 0;
        }
        let retry_at = held.as_ref().and_then(|origin| self.holding.retry_at(origin));
        let is_asked = self.doubts.is_asked(replica);
        let peer = self.peers.get_mut(replica).expect("seen above");
        if held.is_some() && is_asked {
            // the next read begins now, so that its end counts as an answer
            self.doubts.asks(replica);
            let position = peer.position;
            peer.beyond = Some(Box::new(Beyond { position, waiting_own: None }));
        } else if let Some(at) = retry_at {
            // never at once: the event may have to wait until the entity is idle
            peer.retry_at = Some(at.max(now.instant + shared.settings.held_retry_min));
        } else if !moved {
            peer.retry_at = Some(now.instant + retry_wait(shared, peer.attempts));
            peer.attempts += 1;
        }
        peer.held = held;
    }

    /// Takes the next events behind a held event, in the journal of a doubted replica. The position
    /// stays before the held event.
    fn looked_beyond(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        replica: &ReplicaId,
        events: Vec<StoredEvent>,
    ) {
        let own = shared.id.replica_id();
        let peer = self.peers.get_mut(replica).expect("it was read");
        let mut beyond = peer.beyond.take().unwrap_or_default();
        let Some(last) = events.last().map(|event| event.sequence_nr) else {
            let origin = peer.held.clone();
            let held_at = origin.and_then(|origin| self.holding.retry_at(&origin));
            peer.retry_at = held_at.map(|at| at.max(now.instant + shared.settings.held_retry_min));
            // the host is told anew that the entity holds an event back: the doubt may be over now
            peer.held_told = SequenceNr::ZERO;
            match beyond.waiting_own {
                None => self.doubts.answered(replica, self.newest),
                Some(number) => self.doubts.failed(replica, &own_waits(number)),
            }
            return;
        };
        beyond.position = last;
        let mut group = Vec::new();
        for event in events {
            let number = (event.meta.origin == *own).then(|| event.meta.origin_nr());
            self.offer(shared, now, event, &mut group);
            if number.is_some_and(|number| number > self.delivery.seen().get(own)) {
                beyond.waiting_own = beyond.waiting_own.or(number);
            }
        }
        EntityCounters::add(&shared.counters.events_pulled, group.len());
        self.collect_others(shared, group);
        self.peers.get_mut(replica).expect("it was read").beyond = Some(beyond);
    }

    /// Answers news whose events the entity has seen, and reads on where events are missing.
    pub(super) fn pull(&mut self, shared: &Shared<E>, now: Now, actions: &mut Vec<Action<E>>) {
        if self.peers.is_calm {
            return;
        }
        self.try_held(shared, now, actions);
        self.answer_news(shared, actions);
        if !self.persisting.has_room(&shared.settings) {
            return;
        }
        let gaps = self.delivery.waiting_origins();
        let mut wake_at = None;
        let mut is_calm = true;
        for (replica, peer) in &mut *self.peers.peers {
            let replica = &*replica;
            let due = peer.at_start
                || self.peers.news.contains_key(replica)
                || gaps.contains(replica)
                || gaps.contains(shared.id.replica_id())
                || self.doubts.is_asked(replica)
                || self.holding.holds(replica);
            if !due {
                // a later need is not delayed by an earlier one
                (peer.retry_at, peer.attempts) = (None, 0);
            }
            is_calm &= !due && !peer.reading;
            if !due || peer.reading {
                continue;
            }
            match peer.retry_at {
                Some(at) if now.instant < at => {
                    wake_at = Some(wake_at.map_or(at, |other: Instant| other.min(at)));
                    continue;
                }
                _ => peer.retry_at = None,
            }
            peer.reading = true;
            EntityCounters::add(&shared.counters.pulls, 1);
            let after = peer.beyond.as_ref().map_or(peer.position, |beyond| beyond.position);
            actions.push(Action::Pull(shared.generation, replica.clone(), after));
        }
        self.peers.is_calm = is_calm;
        // every input leads to this function, so a timer that is set already is enough
        let timer = self.peers.wake_at.filter(|timer| *timer > now.instant);
        if let Some(at) = wake_at
            && timer.is_none_or(|timer| at < timer)
        {
            self.peers.wake_at = Some(at);
            actions.push(Action::WakeAfter(at - now.instant));
        }
    }

    fn answer_news(&mut self, shared: &Shared<E>, actions: &mut Vec<Action<E>>) {
        if self.peers.news.is_empty() {
            return;
        }
        let (seen, newest) = (self.delivery.seen(), self.newest);
        let mut all = std::mem::take(&mut self.peers.news);
        let mut covered = Vec::new();
        all.retain(|replica, news| {
            let is_passed = |peer: &Peer| peer.position >= news.highest;
            let is_passed = self.peers.get(replica).is_some_and(is_passed);
            let is_named = news.seen.event_count() > 0;
            let has = if is_named { news.seen.is_included_in(seen) } else { is_passed };
            if is_passed && !has {
                self.peers.begin_anew(replica, news.highest);
            }
            if has {
                covered.push((replica.clone(), news.highest));
            }
            !has
        });
        for (replica, news) in &all {
            let Some(peer) = self.peers.get_mut(replica) else { continue };
            let held = peer.held.as_ref().and_then(|origin| self.holding.event(origin));
            if let Some(held) = held
                && peer.held_told < news.highest
            {
                peer.held_told = news.highest;
                actions.push(Action::Held(replica.clone(), news.highest, held.clone()));
            }
        }
        if !all.is_empty() {
            self.peers.news = all;
        }
        for (replica, highest) in covered {
            self.persisting.defer(newest, Due::CaughtUp(replica, highest));
        }
        self.persist(shared, actions);
    }
}

/// The reason why a read that gave events does not end the doubt.
const CAUSES_MISSING: &str =
    "its events wait for others that were deleted there, or that only another replica has";

fn own_waits(number: u64) -> String {
    format!(
        "its journal has event {number} of this replica, which waits for an event that cannot be applied here: run a version that can, or `antiphon entity skip-event`"
    )
}

fn retry_wait<E: EventSourced>(shared: &Shared<E>, attempts: u32) -> std::time::Duration {
    let settings = &shared.settings;
    settings.pull_retry_min.saturating_mul(1 << attempts.min(16)).min(settings.pull_retry_max)
}
