//! The newest state, with the version and the number of the events that were applied to it. The
//! events need not be durable.
//!
//! After a panic of `on_event` the state is *spoilt*: it may be half-changed, and nobody reads it
//! any more.

use antiphon_base::guard::{self, UserFailure};
use antiphon_base::time::{HybridClock, Timestamp};

use super::Now;
use super::applier::{Applier, apply, describe};
use super::encoded::Encoded;
use super::own_times::OwnTimes;
use super::reminders::{Came, Reminders};
use super::requests::Requests;
use super::shared::Shared;
use crate::delivery::CausalDelivery;
use crate::entity::{DoneBefore, EntityCounters, EventSourced};
use crate::event::{EventMeta, SequenceNr, StoredEvent};
use crate::store::Snapshot;
use crate::version::VersionVector;

/// The newest state, and the events that were applied to it.
pub(super) struct Applied<E: EventSourced> {
    pub(super) state: E::State,
    pub(super) delivery: CausalDelivery,
    pub(super) clock: HybridClock,
    /// The number of the newest event.
    pub(super) newest: SequenceNr,
    pub(super) own_times: OwnTimes,
    pub(super) reminders: Reminders,
    pub(super) requests: Requests,
    applier: Applier,
    /// The reason why the state is not read any more: `on_event` panicked, and the state may be
    /// half-changed. Work that is under way is finished, then the entity begins again from the
    /// journal.
    spoilt: Option<String>,
}

/// Own events that were applied, to be stored together or not at all.
pub(super) struct OwnEvents {
    pub(super) group: Vec<StoredEvent>,
    /// True when the behaviour wants a snapshot after one of the events.
    pub(super) wants_snapshot: bool,
}

impl<E: EventSourced> Applied<E> {
    /// The state before the first event.
    ///
    /// # Errors
    /// A panic of `initial_state`.
    pub(super) fn new(shared: &Shared<E>) -> Result<Self, UserFailure> {
        let made = || shared.behaviour.initial_state(&shared.id);
        let state = guard::call("initial_state", &shared.id, made)?;
        Ok(Self {
            state,
            delivery: CausalDelivery::new(VersionVector::new(), shared.settings.waiting_events_max),
            clock: HybridClock::default(),
            newest: SequenceNr::ZERO,
            own_times: OwnTimes::default(),
            reminders: Reminders::default(),
            requests: Requests::default(),
            applier: Applier::new(shared),
            spoilt: None,
        })
    }

    /// Drops the application's state, under [`antiphon_base::guard`].
    pub(super) fn end(self, shared: &Shared<E>) {
        let _ = guard::call("Drop of a state", &shared.id, || drop(self.state));
    }

    pub(super) fn seen(&self) -> &VersionVector {
        self.delivery.seen()
    }

    pub(super) fn is_spoilt(&self) -> bool {
        self.spoilt.is_some()
    }

    /// Has the state read again: a new life begins as soon as nothing is under way.
    pub(super) fn spoil(&mut self, reason: String) {
        self.spoilt.get_or_insert(reason);
    }

    /// The reason why the state is spoilt, if it is. The state must be read again then.
    pub(super) fn take_spoilt(&mut self) -> Option<String> {
        self.spoilt.take()
    }

    /// Begins with the state of a snapshot.
    pub(super) fn adopt(&mut self, shared: &Shared<E>, state: E::State, snapshot: &Snapshot) {
        let before = std::mem::replace(&mut self.state, state);
        let _ = guard::call("Drop of a state", &shared.id, || drop(before));
        self.newest = snapshot.sequence_nr;
        self.clock.observe(snapshot.timestamp);
        self.reminders.adopt(&shared.id, &snapshot.reminders);
        self.requests.adopt(&shared.settings, &snapshot.requests);
        self.delivery =
            CausalDelivery::new(snapshot.version.clone(), shared.settings.waiting_events_max);
    }

    /// Applies the next event of the own stream.
    ///
    /// # Errors
    /// The reason why the event cannot be applied. The state may be half-changed then.
    pub(super) fn replay(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        event: &StoredEvent,
    ) -> Result<(), String> {
        assert_eq!(event.sequence_nr, self.newest.next(), "`{}`: the next event", shared.id);
        self.newest = event.sequence_nr;
        self.delivery.replayed(event);
        self.observe(shared, now, event, true);
        let events = Applier::read(shared, event)?;
        let before = self.done_before(event);
        let applied = self.applier.apply(shared, &mut self.state, (event, before), events, true);
        self.note_request(shared, event);
        note_reminders(&mut self.reminders, shared, event, Came::Replayed);
        applied.map(drop).map_err(|failure| describe(shared, event, &failure.to_string()))
    }

    /// Applies the events of a command. After an error the state is spoilt, and the events count as
    /// never made.
    ///
    /// # Errors
    /// The reason, with the name of the code that panicked.
    pub(super) fn apply_own(
        &mut self,
        shared: &Shared<E>,
        time: Timestamp,
        events: Vec<E::Event>,
        encoded: Vec<Encoded>,
    ) -> Result<OwnEvents, String> {
        assert_eq!(events.len(), encoded.len(), "`{}`: a payload for each event", shared.id);
        let before = self.newest;
        let mut events = events.into_iter().zip(encoded);
        let own = self.apply_each(shared, time, &mut events);
        self.applier.forget_labels();
        own.map_err(|failure| {
            let count = self.newest.value() - before.value();
            self.delivery.forget_own(shared.id.replica_id(), count);
            self.newest = before;
            self.reminders.forget_above(before);
            guard::drop_each("Drop of an event", &shared.id, events);
            let reason = format!("{failure} at an event of a command");
            self.spoilt = Some(reason.clone());
            reason
        })
    }

    fn apply_each(
        &mut self,
        shared: &Shared<E>,
        time: Timestamp,
        events: &mut impl ExactSizeIterator<Item = (E::Event, Encoded)>,
    ) -> Result<OwnEvents, UserFailure> {
        let mut own = OwnEvents { group: Vec::with_capacity(events.len()), wants_snapshot: false };
        for (event, Encoded { payload, labels }) in events {
            let version = self.delivery.record_own(shared.id.replica_id());
            self.newest = self.newest.next();
            let meta = EventMeta {
                origin: shared.id.replica_id().clone(),
                version,
                source_seq: self.newest,
                concurrent: false,
                timestamp: time,
                labels,
            };
            let stored = StoredEvent { sequence_nr: self.newest, meta, payload };
            self.own_times.note(&stored);
            let before = self.done_before(&stored);
            let context = self.applier.context(&stored, before, false);
            own.wants_snapshot |= apply(shared, context, &mut self.state, event)?;
            self.note_request(shared, &stored);
            note_reminders(&mut self.reminders, shared, &stored, Came::Own);
            own.group.push(stored);
        }
        Ok(own)
    }

    /// Applies an event of another replica that delivery has noted as seen, and gives it the number
    /// under which it will be stored. Returns whether the behaviour wants a snapshot.
    ///
    /// # Errors
    /// The reason why the event cannot be applied: nothing was changed, or the state is spoilt.
    pub(super) fn apply_other(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        event: &mut StoredEvent,
    ) -> Result<bool, String> {
        event.sequence_nr = self.newest.next();
        let events = Applier::read(shared, event)?;
        let before = self.done_before(event);
        let applied = self.applier.apply(shared, &mut self.state, (&*event, before), events, false);
        let wants_snapshot = applied.map_err(|failure| {
            let reason = describe(shared, event, &failure.to_string());
            self.spoilt = Some(reason.clone());
            reason
        })?;
        self.newest = event.sequence_nr;
        self.note_request(shared, event);
        note_reminders(&mut self.reminders, shared, event, Came::Other(now.wall));
        if !self.observe(shared, now, event, false) {
            EntityCounters::add(&shared.counters.events_ahead, 1);
        }
        Ok(wants_snapshot)
    }

    /// The other handling of the request of an event, if the request was done before.
    #[inline]
    fn done_before(&self, event: &StoredEvent) -> Option<Box<DoneBefore>> {
        if event.meta.labels.is_empty() {
            return None;
        }
        self.requests.done_before(&event.meta)
    }

    /// Takes note of the request of an event that was applied, or of its answer, if the event was
    /// noted before without it.
    #[inline]
    pub(super) fn note_request(&mut self, shared: &Shared<E>, event: &StoredEvent) {
        if event.meta.labels.is_empty() {
            return;
        }
        let (settings, counters) = (&shared.settings, &shared.counters);
        let event_of = (&event.meta, shared.is_own(&event.meta.origin));
        if let Err(error) = self.requests.applied(settings, counters, event_of) {
            EntityCounters::add(&counters.requests_unread, 1);
            tracing::warn!(id = %shared.id, number = %event.sequence_nr, %error, "the request of an event cannot be read: a repetition of it would be handled anew");
        }
    }

    /// Takes note of the time of an event that was applied. The time of another replica's event
    /// that is more than `time_skew_max` ahead of the time of day is not noted: later own times do
    /// not follow it. Own times of the own journal are noted always, so that they never go back.
    /// Returns whether the time was noted.
    fn observe(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        event: &StoredEvent,
        is_of_own_journal: bool,
    ) -> bool {
        let time = event.meta.timestamp;
        let is_own = shared.is_own(&event.meta.origin);
        if is_own {
            self.own_times.note(event);
        }
        // an own event that another place gives back went through foreign hands
        if is_own && is_of_own_journal {
            self.clock.observe(time);
            return true;
        }
        self.clock.observe_other(time, now.wall, shared.settings.time_skew_max)
    }

    /// Asserts that the version names each event once. Called in release builds too, before each
    /// append and each snapshot: other replicas would wait for ever, or miss events.
    pub(super) fn assert_named(&self, shared: &Shared<E>) {
        assert_eq!(
            self.seen().event_count(),
            self.newest.value(),
            "`{}`: each event is in the stream once",
            shared.id
        );
    }

    pub(super) fn check(&self, shared: &Shared<E>) {
        self.delivery.check();
        self.applier.check();
        self.reminders.check(self.newest);
        self.requests.check(&shared.settings);
        self.assert_named(shared);
    }
}

/// Takes note of the reminders of an event that was applied.
#[inline]
fn note_reminders<E: EventSourced>(
    reminders: &mut Reminders,
    shared: &Shared<E>,
    event: &StoredEvent,
    came: Came,
) {
    if event.meta.labels.is_empty() {
        return;
    }
    if let Err(error) = reminders.applied(&shared.id, event, came) {
        EntityCounters::add(&shared.counters.reminders_unread, 1);
        tracing::warn!(id = %shared.id, number = %event.sequence_nr, %error, "a reminder of an event cannot be read: no snapshot is taken of this entity");
    }
}
