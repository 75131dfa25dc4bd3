//! Events of other replicas: by direct replication, and read from their journals.
//!
//! A pull reads on in another replica's stream after the position there: the entity has seen every
//! event up to the position. Triggers of a pull:
//! - the entity starts;
//! - a gap shows, or an origin that is held back is due again;
//! - the journal loop brings news;
//! - a command waits for events that its session has seen;
//! - a doubted replica must be asked.

use std::time::Duration;

use tokio::time::Instant;

use super::doubts::Doubts;
use super::holding::Holding;
use super::inbox::Inbox;
use super::intake::Intake;
use super::outbox::Due;
use super::peers::{Beyond, Peers};
use super::shared::Shared;
use super::stream::Stream;
use super::{Action, Now};
use crate::Result;
use crate::entity::{EntityCounters, EventSourced};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::store::ReplayPage;

/// Reads in a row whose first event waits for others; then the other replica's journal is read
/// anew. Causes that a third replica has written mostly arrive before.
const CAUSELESS_MAX: u8 = 8;

/// The reason why a read that gave events does not end the doubt.
const CAUSES_MISSING: &str =
    "its events wait for others that were deleted there, or that only another replica has";

/// Time after which a waiting event is old, and half of the time after which it is read again: as
/// for [arrivals](super::away), its number may be another event's by then.
const TURN_INTERVAL: Duration = Duration::from_millis(1500);

/// The other replicas of an entity at work, and what is not done yet about their events.
pub(super) struct Replication {
    pub(super) peers: Peers,
    pub(super) holding: Holding,
    pub(super) doubts: Doubts,
    /// The time of the last turn of the events that wait for their causes.
    turned_at: Instant,
}

/// The progress that a page of another replica's stream has brought.
struct Progress {
    /// The number of the page's first event.
    first: Option<SequenceNr>,
    /// True when an event of the page had been seen, or was taken.
    moved: bool,
    /// The origin whose held event ended the page.
    held: Option<ReplicaId>,
    /// True when the stream was read to its end.
    is_end: bool,
}

impl Replication {
    pub(super) fn new(now: Now, peers: Peers, holding: Holding, doubts: Doubts) -> Self {
        Self { peers, holding, doubts, turned_at: now.instant }
    }

    /// Drops the events that have waited for too long, and reads the journals of their origins.
    fn drop_old<E: EventSourced>(&mut self, shared: &Shared<E>, now: Now, stream: &mut Stream<E>) {
        let delivery = &mut stream.applied.delivery;
        let since = now.instant - self.turned_at;
        let waiting = delivery.waiting_count();
        if waiting > 0 && since < TURN_INTERVAL {
            return;
        }
        self.turned_at = now.instant;
        let own = shared.id.replica_id();
        let first = delivery.turn(own);
        let second = (since >= 2 * TURN_INTERVAL).then(|| delivery.turn(own));
        for origin in first.iter().chain(second.iter().flatten()) {
            self.peers.known(origin).at_start = true;
            self.peers.look_again();
        }
        let dropped = waiting - delivery.waiting_count();
        EntityCounters::add(&shared.counters.waiting_overflows, dropped);
    }

    fn intake<'a, E: EventSourced>(
        &'a mut self,
        shared: &'a Shared<E>,
        now: Now,
        stream: &'a mut Stream<E>,
        group: Vec<StoredEvent>,
    ) -> Intake<'a, E> {
        let Self { peers, holding, doubts, .. } = self;
        let applied = &mut stream.applied;
        Intake { shared, now, applied, peers, holding, doubts, group, wants_snapshot: false }
    }

    /// Takes events that came by direct replication.
    pub(super) fn arrived<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        stream: &mut Stream<E>,
        events: Vec<StoredEvent>,
    ) {
        self.drop_old(shared, now, stream);
        let mut intake = self.intake(shared, now, stream, Vec::new());
        for event in events {
            intake.offer(event);
        }
        let Intake { group, wants_snapshot, .. } = intake;
        EntityCounters::add(&shared.counters.events_direct, group.len());
        stream.collect_others(shared, now, (group, wants_snapshot), &self.peers);
    }

    /// Takes the next events of another replica's stream.
    pub(super) fn pulled<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        stream: &mut Stream<E>,
        replica: &ReplicaId,
        result: Result<ReplayPage>,
    ) {
        self.drop_old(shared, now, stream);
        let peer = self.peers.read_ended(replica);
        if std::mem::take(&mut peer.is_anew_due) {
            // the page is of the rows behind the position before
            peer.begin_at_first();
            return self.doubts.asks(replica);
        }
        let page = match result {
            Ok(page) => page,
            Err(error) => {
                EntityCounters::add(&shared.counters.pulls_failed, 1);
                tracing::debug!(id = %shared.id, %replica, %error, "reading its journal failed");
                peer.failed = true;
                peer.retry_later(now, &shared.settings);
                self.doubts.unreadable(replica, &error.to_string());
                return;
            }
        };
        if let Some(beyond) = peer.beyond.take() {
            return self.looked_beyond(shared, now, stream, replica, (beyond, page.events));
        }
        peer.held = None;
        let progress = self.take_page(shared, now, stream, replica, page);
        self.peers.known(replica).page_read(progress.moved);
        if progress.is_end {
            self.peers.known(replica).at_start = false;
            self.doubts.answered(replica, stream.applied.newest);
        }
        self.look_for_causes(replica, &progress);
        self.plan_next_read(shared, now, replica, progress);
    }

    /// Offers the events of a page, up to the first one that must be read again.
    fn take_page<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        stream: &mut Stream<E>,
        replica: &ReplicaId,
        ReplayPage { events, highest }: ReplayPage,
    ) -> Progress {
        let first = events.first().map(|event| event.sequence_nr);
        let last = events.last().map(|event| event.sequence_nr);
        let is_end = last.is_none() || last == highest;
        let mut progress = Progress { first, moved: false, held: None, is_end };
        let mut intake = self.intake(shared, now, stream, Vec::with_capacity(events.len()));
        for event in events {
            let (row, origin, number) =
                (event.sequence_nr, event.meta.origin.clone(), event.meta.origin_nr());
            intake.offer(event);
            if number <= intake.applied.seen().get(&origin) {
                intake.peers.reached(replica, row);
                progress.moved = true;
                continue;
            }
            // it cannot be applied, its causes are not in that journal any more, or there is no
            // room: it is read again later
            progress.is_end = false;
            progress.held = intake.holding.holds(&origin).then_some(origin);
            break;
        }
        let Intake { group, wants_snapshot, .. } = intake;
        EntityCounters::add(&shared.counters.events_pulled, group.len());
        stream.collect_others(shared, now, (group, wants_snapshot), &self.peers);
        progress
    }

    /// Begins to read the journal anew when its events wait for others: the causes may be in rows
    /// before the position, which had other events when the entity read them.
    fn look_for_causes(&mut self, replica: &ReplicaId, progress: &Progress) {
        let Progress { first: Some(first), moved: false, held: None, .. } = progress else {
            self.peers.known(replica).causeless = 0;
            return;
        };
        self.doubts.failed(replica, CAUSES_MISSING);
        let peer = self.peers.known(replica);
        peer.causeless = peer.causeless.saturating_add(1);
        if peer.causeless >= CAUSELESS_MAX || self.doubts.is_asked(replica) {
            self.peers.begin_anew(replica, *first);
        }
    }

    fn plan_next_read<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        replica: &ReplicaId,
        Progress { moved, held, .. }: Progress,
    ) {
        let retry_at = held.as_ref().and_then(|origin| self.holding.retry_at(origin));
        let is_asked = self.doubts.is_asked(replica);
        let peer = self.peers.known(replica);
        if held.is_some() && is_asked {
            // the next read begins now, so that its end counts as an answer
            self.doubts.asks(replica);
            let position = peer.position;
            peer.beyond = Some(Box::new(Beyond { position, waiting_own: None }));
        } else if let Some(at) = retry_at {
            peer.retry_held(at, now, &shared.settings);
        } else if !moved {
            peer.retry_later(now, &shared.settings);
        }
        peer.held = held;
    }

    /// Takes the next events behind a held event, in the journal of a doubted replica. The position
    /// stays before the held event.
    fn looked_beyond<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        stream: &mut Stream<E>,
        replica: &ReplicaId,
        (mut beyond, events): (Box<Beyond>, Vec<StoredEvent>),
    ) {
        let own = shared.id.replica_id();
        let Some(last) = events.last().map(|event| event.sequence_nr) else {
            let peer = self.peers.known(replica);
            let held_at = peer.held.as_ref().and_then(|origin| self.holding.retry_at(origin));
            peer.retry_at = None;
            if let Some(at) = held_at {
                peer.retry_held(at, now, &shared.settings);
            }
            // the host is told anew that the entity holds an event back: the doubt may be over now
            peer.held_told = SequenceNr::ZERO;
            match beyond.waiting_own {
                None => self.doubts.answered(replica, stream.applied.newest),
                Some(number) => self.doubts.failed(replica, &own_waits(number)),
            }
            return;
        };
        beyond.position = last;
        let mut intake = self.intake(shared, now, stream, Vec::new());
        for event in events {
            let number = (event.meta.origin == *own).then(|| event.meta.origin_nr());
            intake.offer(event);
            if number.is_some_and(|number| number > intake.applied.seen().get(own)) {
                beyond.waiting_own = beyond.waiting_own.or(number);
            }
        }
        let Intake { group, wants_snapshot, .. } = intake;
        EntityCounters::add(&shared.counters.events_pulled, group.len());
        stream.collect_others(shared, now, (group, wants_snapshot), &self.peers);
        self.peers.known(replica).beyond = Some(beyond);
    }

    /// Answers news whose events the entity has seen, and reads on where events are missing.
    /// `is_idle` is true while the entity has nothing under way; commands of `inbox` may wait for
    /// events.
    pub(super) fn pull<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        stream: &mut Stream<E>,
        (is_idle, inbox): (bool, &Inbox<E::Command>),
        actions: &mut Vec<Action<E>>,
    ) {
        if self.peers.is_calm() {
            return;
        }
        self.holding.try_again(shared, now, is_idle, &mut stream.applied.delivery, actions);
        if self.peers.has_news() {
            self.answer_news(shared, stream, actions);
        }
        if !stream.has_room(shared) {
            return;
        }
        let Self { peers, holding, doubts, .. } = self;
        let gaps = stream.applied.delivery.waiting_origins();
        let is_behind = gaps.contains(shared.id.replica_id());
        let is_needed = |replica: &ReplicaId| {
            is_behind
                || gaps.contains(replica)
                || doubts.is_asked(replica)
                || holding.holds(replica)
        };
        let seen = stream.applied.seen();
        let is_anywhere = inbox.wants(seen, |origin| peers.is_out_of_reach(origin));
        let is_wanted =
            |replica: &ReplicaId| is_anywhere || inbox.wants(seen, |origin| origin == replica);
        peers.begin_reads(shared, now, (is_needed, is_wanted), actions);
    }

    fn answer_news<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        stream: &mut Stream<E>,
        actions: &mut Vec<Action<E>>,
    ) {
        let answered = self.peers.answered_news(stream.applied.seen());
        self.peers.tell_held(|origin| self.holding.event(origin), actions);
        for (replica, highest) in answered {
            stream.defer(Due::CaughtUp(replica, highest));
        }
        stream.persist(shared, actions);
    }

    /// Adds doubted replicas: commands wait until their journals were read to their ends.
    pub(super) fn doubt<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        replicas: &[ReplicaId],
        actions: &mut Vec<Action<E>>,
    ) {
        let Self { peers, doubts, .. } = self;
        if doubts.open(shared, now, replicas, |replica| peers.is_reading(replica)) {
            peers.look_again();
            actions.push(Action::WakeAfter(shared.settings.reclaim_wait));
        }
    }

    /// Returns whether all doubted replicas were read, and own events are missing that are known.
    pub(super) fn misses_own<E: EventSourced>(
        &self,
        shared: &Shared<E>,
        stream: &Stream<E>,
    ) -> bool {
        let own = shared.id.replica_id();
        if self.doubts.is_open() {
            return false;
        }
        let is_told_of =
            || self.holding.holds(own) || self.peers.knows_more(shared, stream.applied.seen());
        stream.applied.delivery.waits_for(own) || (!self.doubts.is_anew() && is_told_of())
    }

    /// Forgets the own events that wait, and reads the journals of the doubted replicas from their
    /// beginnings: the events come from there, or no journal has them any more.
    pub(super) fn read_anew<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        stream: &mut Stream<E>,
        replicas: &[ReplicaId],
        actions: &mut Vec<Action<E>>,
    ) {
        stream.applied.delivery.forget_waiting(shared.id.replica_id());
        self.doubts.begin_anew();
        self.doubt(shared, now, replicas, actions);
        for replica in replicas {
            if let Some(peer) = self.peers.get_mut(replica) {
                peer.begin_anew();
            }
        }
    }

    /// Forgets the own events that wait or are held when no doubt is open any more.
    pub(super) fn forget_missing<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        stream: &mut Stream<E>,
    ) {
        if self.doubts.is_open() {
            return;
        }
        let own = shared.id.replica_id();
        let delivery = &mut stream.applied.delivery;
        delivery.forget_waiting(own);
        if self.holding.forget(own) {
            delivery.free(own);
        }
    }

    /// Takes an event again at once, because an operator wants it skipped.
    pub(super) fn skip_event(&mut self, now: Now, origin: &ReplicaId, number: u64) {
        if self.holding.skip(now, origin, number) {
            self.peers.retry_now();
        }
    }

    pub(super) fn check<E: EventSourced>(&self, shared: &Shared<E>, stream: &Stream<E>) {
        self.peers.check();
        self.holding.check();
        self.holding.check_delivery(&stream.applied.delivery);
        self.doubts.check(shared, stream.applied.newest);
        let own = shared.id.replica_id();
        let is_waiting = stream.applied.delivery.waits_for(own);
        assert!(!is_waiting || self.doubts.is_open(), "`{own}`: own events wait without a doubt");
    }
}

/// The reason why a look behind a held event does not end the doubt.
fn own_waits(number: u64) -> String {
    format!(
        "its journal has event {number} of this replica, which waits for an event that cannot be applied here: run a version that can, or `antiphon entity skip-event`"
    )
}
