//! The own stream of an entity at work: events are applied to the newest state, then stored, and
//! what they make visible waits for the disk.

use antiphon_base::guard::{self, UserFailure};
use antiphon_base::time::Timestamp;

use super::applied::{Applied, OwnEvents};
use super::encoded::{Notes, encode};
use super::failure::Failure;
use super::outbox::{Due, Outbox};
use super::peers::Peers;
use super::persisting::Persisting;
use super::shared::Shared;
use super::snapshots::Snapshots;
use super::{Action, Now, limits, proof, signals};
use crate::Result;
use crate::entity::context::ReplicationContext;
use crate::entity::{
    CommandContext, DoneBefore, DueReminder, Effect, EntityCounters, EventSourced, Signal,
};
use crate::event::{EventMeta, Metadata, SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::reply::ReplyError;
use crate::store::Snapshot;
use crate::version::VersionVector;

/// The newest state, the events and snapshots on their way to the store, and the actions that wait
/// for them.
pub(super) struct Stream<E: EventSourced> {
    pub(super) applied: Applied<E>,
    persisting: Persisting,
    outbox: Outbox<E>,
    snapshots: Snapshots,
    context: CommandContext,
}

impl<E: EventSourced> Stream<E> {
    /// Begins with everything durable. `snapshot` is the newest stored one, with its version.
    pub(super) fn new(
        shared: &Shared<E>,
        applied: Applied<E>,
        snapshot: Option<(SequenceNr, VersionVector)>,
    ) -> Self {
        let common = ReplicationContext::new(shared.surroundings.clone());
        Self {
            persisting: Persisting::new(applied.newest),
            applied,
            outbox: Outbox::new(),
            snapshots: Snapshots::new(snapshot),
            context: CommandContext { common, metadata: Metadata::new(), done_before: None },
        }
    }

    pub(super) fn durable(&self) -> SequenceNr {
        self.persisting.durable()
    }

    pub(super) fn is_appending(&self) -> bool {
        self.persisting.is_appending()
    }

    /// Returns whether there is room for more events that are applied and not durable.
    pub(super) fn has_room(&self, shared: &Shared<E>) -> bool {
        self.persisting.has_room(&shared.settings)
    }

    /// Returns whether no event is on its way and no action waits.
    pub(super) fn is_settled(&self) -> bool {
        self.persisting.is_settled() && self.outbox.is_empty()
    }

    /// Gives room back that an idle entity does not need.
    pub(super) fn shrink(&mut self) {
        self.outbox.shrink();
    }

    /// Lets the action out when everything that it could have seen is durable.
    pub(super) fn defer(&mut self, due: Due<E>) {
        self.outbox.defer(self.applied.newest, due);
    }

    /// Ticks the clock for the next command, and shows its time to the handlers.
    pub(super) fn tick(&mut self, now: Now) -> Timestamp {
        let time = self.applied.clock.tick(now.wall);
        self.context.common.at(time, self.applied.newest);
        time
    }

    /// Asks the behaviour what a command with this metadata does.
    pub(super) fn decide(
        &mut self,
        shared: &Shared<E>,
        command: E::Command,
        metadata: Metadata,
    ) -> Result<Effect<E>, UserFailure> {
        self.context.done_before =
            metadata.request().and_then(|id| self.done_elsewhere(shared, id));
        self.context.metadata = metadata;
        let decided = guard::call("on_command", &shared.id, || {
            shared.behaviour.on_command(&self.context, &self.applied.state, command)
        });
        self.context.metadata = Metadata::new();
        self.context.done_before = None;
        decided
    }

    /// The handling of a request at another replica.
    fn done_elsewhere(&self, shared: &Shared<E>, id: &str) -> Option<Box<DoneBefore>> {
        let (handling, _) = self.applied.requests.get(id)?;
        let (origin, timestamp) = (handling.origin.clone(), handling.at);
        let done = DoneBefore { origin, timestamp, is_overruled: false };
        (!shared.is_own(&handling.origin)).then(|| Box::new(done))
    }

    /// Asks the behaviour what a reminder that is due does.
    pub(super) fn remind(
        &mut self,
        shared: &Shared<E>,
        reminder: &DueReminder,
    ) -> Result<Effect<E>, UserFailure> {
        guard::call("on_reminder", &shared.id, || {
            shared.behaviour.on_reminder(&self.context, &self.applied.state, reminder)
        })
    }

    /// Asks the behaviour how it reacts to an event of another replica.
    pub(super) fn react(
        &mut self,
        shared: &Shared<E>,
        event: &E::Event,
        meta: &EventMeta,
    ) -> Result<Effect<E>, UserFailure> {
        guard::call("on_replicated", &shared.id, || {
            shared.behaviour.on_replicated(&self.context, &self.applied.state, event, meta)
        })
    }

    /// Tells the behaviour of a signal, unless the state is spoilt.
    pub(super) fn signal(&mut self, shared: &Shared<E>, signal: &Signal) {
        if !self.applied.is_spoilt() {
            self.signal_last(shared, signal);
        }
    }

    /// Tells the behaviour of the last signal of this life, also with a spoilt state.
    pub(super) fn signal_last(&mut self, shared: &Shared<E>, signal: &Signal) {
        let Self { applied, context, .. } = self;
        signals::tell(shared, context, applied, applied.newest, signal);
    }

    /// Applies the events of a command, each with the metadata and the notes. They are to be handed
    /// to [`Self::collect_own`]. After an error, no event of the command is ever stored.
    pub(super) fn apply_own(
        &mut self,
        shared: &Shared<E>,
        time: Timestamp,
        (metadata, notes): (Metadata, Notes),
        events: Vec<E::Event>,
    ) -> Result<OwnEvents, ReplyError> {
        let encoded = guard::call("event_type or Serialize of an event", &shared.id, || {
            let encoded = encode(shared, &events, metadata, notes)?;
            limits::check_command(shared, self.applied.seen(), &encoded).map(|()| encoded)
        });
        let refusal = match encoded {
            Ok(Ok(encoded)) => {
                let own = self.applied.apply_own(shared, time, events, encoded);
                return own.map_err(ReplyError::Failed);
            }
            Ok(Err(reason)) => ReplyError::Rejected(reason),
            Err(failure) => {
                EntityCounters::add(&shared.counters.handler_panics, 1);
                ReplyError::Failed(failure.to_string())
            }
        };
        self.refuse_own(shared, events, &refusal);
        Err(refusal)
    }

    /// Drops the events of a command that is refused.
    pub(super) fn refuse_own(
        &mut self,
        shared: &Shared<E>,
        events: Vec<E::Event>,
        refusal: &ReplyError,
    ) {
        guard::drop_each("Drop of an event", &shared.id, events);
        if let ReplyError::Rejected(reason) = refusal {
            self.signal(shared, &Signal::PersistRejected(reason.clone()));
        }
    }

    /// Hands the events of a command to the next append. Returns the number of the last event, if
    /// there is one. `metadata` is that of the command.
    pub(super) fn collect_own(
        &mut self,
        shared: &Shared<E>,
        OwnEvents { group, wants_snapshot }: OwnEvents,
        peers: &Peers,
        metadata: &Metadata,
    ) -> Option<SequenceNr> {
        EntityCounters::add(&shared.counters.events_persisted, group.len());
        let last = group.last().map(|event| event.sequence_nr);
        self.persisting.collect(group);
        self.snapshots.want(wants_snapshot);
        self.snapshot_if_due(shared, peers, metadata);
        last
    }

    /// Hands applied events of other replicas to the next appends.
    pub(super) fn collect_others(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        (events, wants_snapshot): (Vec<StoredEvent>, bool),
        peers: &Peers,
    ) {
        if let Some(reactions) = self.applied.reminders.reactions() {
            reactions.arrived(shared.id.replica_id(), &events, now.wall);
        }
        for group in limits::cut(&shared.limits, shared.settings.append_events_max, events) {
            self.persisting.collect(group);
        }
        self.snapshots.want(wants_snapshot);
        self.snapshot_if_due(shared, peers, &Metadata::new());
    }

    /// Lets out the actions whose events are durable, and begins the next append.
    pub(super) fn persist(&mut self, shared: &Shared<E>, actions: &mut Vec<Action<E>>) {
        self.outbox.let_out(self.persisting.durable(), shared.generation, actions);
        if let Some(append) = self.persisting.next_append(shared) {
            self.applied.assert_named(shared);
            let last = append.events.last().map_or(append.expected, |event| event.sequence_nr);
            let rows = self.applied.reminders.append(self.applied.clock.last(), last);
            actions.push(Action::Append(shared.generation, append, rows));
        }
    }

    /// Takes the result of the append under way.
    pub(super) fn appended(
        &mut self,
        shared: &Shared<E>,
        result: Result<()>,
        actions: &mut Vec<Action<E>>,
    ) -> Result<(), Failure> {
        match self.persisting.appended(shared, result, actions) {
            Ok(published) => {
                let rows = self.applied.reminders.appended();
                actions.extend(rows.map(|rows| Action::ChangeReminders(Box::new(rows))));
                if let Some(number) = published {
                    self.signal(shared, &Signal::Published(number));
                }
                Ok(())
            }
            Err(failure) => {
                let (signal, durable) = (signals::of_append(&failure), self.durable());
                let Self { applied, context, .. } = self;
                signals::tell(shared, context, applied, durable, &signal);
                Err(failure)
            }
        }
    }

    /// Takes a snapshot of the newest state, if one is due. It is stored when that state is
    /// durable. `metadata` is that of the command whose events make it due.
    fn snapshot_if_due(&mut self, shared: &Shared<E>, peers: &Peers, metadata: &Metadata) {
        let newest = self.applied.newest;
        let now = self.applied.clock.last();
        let is_due = self.snapshots.is_due(&shared.settings, newest, now);
        if !is_due || self.applied.is_spoilt() {
            return;
        }
        self.snapshots.attempted(newest, now);
        let snapshot = match self.snapshot(shared, peers, metadata) {
            Ok(snapshot) => snapshot,
            Err(reason) => return self.snapshot_failed(shared, &reason),
        };
        self.snapshots.begun(newest, snapshot.version.clone());
        self.defer(Due::Snapshot(Box::new(snapshot)));
    }

    /// Asks the behaviour for the metadata of a snapshot of the newest state.
    ///
    /// # Errors
    /// The reason why no snapshot is taken: a panic, or metadata beyond its bounds.
    fn snapshot_metadata(
        &mut self,
        shared: &Shared<E>,
        of_command: &Metadata,
    ) -> Result<Metadata, String> {
        let Self { applied, context, .. } = self;
        context.common.at(applied.clock.last(), applied.newest);
        context.metadata.clone_from(of_command);
        let made = guard::call("snapshot_metadata", &shared.id, || {
            shared.behaviour.snapshot_metadata(context, &applied.state)
        });
        context.metadata = Metadata::new();
        match made {
            Ok(metadata) => {
                let checked = metadata.check_unreserved().and_then(|()| metadata.check());
                checked.map(|()| metadata).map_err(|why| format!("`snapshot_metadata`: {why}"))
            }
            Err(failure) => {
                EntityCounters::add(&shared.counters.handler_panics, 1);
                Err(failure.to_string())
            }
        }
    }

    /// Takes a snapshot at the end of a recovery that was long, or whose snapshot is old. `since`
    /// is the time of that snapshot, or of the first event.
    pub(super) fn recovered(
        &mut self,
        shared: &Shared<E>,
        since: Option<Timestamp>,
        peers: &Peers,
    ) {
        let at = (self.applied.newest, self.applied.clock.last());
        if self.snapshots.recovered(&shared.settings, at, since) {
            self.snapshot_if_due(shared, peers, &Metadata::new());
        }
    }

    /// The snapshot of the newest state. `of_command` is the metadata of the command whose events
    /// make it due.
    ///
    /// # Errors
    /// The reason why the state could not be read again.
    pub(super) fn snapshot(
        &mut self,
        shared: &Shared<E>,
        peers: &Peers,
        of_command: &Metadata,
    ) -> Result<Snapshot, String> {
        if self.applied.reminders.has_unread() {
            let why = "an event has reminders that this version cannot read: an entity keeps its events until a version that reads them";
            return Err(why.to_owned());
        }
        let state = proof::state(shared, &self.applied.state)?;
        let metadata = self.snapshot_metadata(shared, of_command)?;
        let applied = &self.applied;
        applied.assert_named(shared);
        let room = shared.limits.snapshot_bytes_max.saturating_sub(state.bytes.len());
        Ok(Snapshot {
            sequence_nr: applied.newest,
            version: applied.seen().clone(),
            positions: peers.positions(),
            timestamp: applied.clock.last(),
            state,
            reminders: applied.reminders.for_snapshot(&shared.id),
            metadata,
            requests: applied.requests.for_snapshot_within(room),
        })
    }

    /// Returns whether a snapshot is under way.
    pub(super) fn saves_snapshot(&self) -> bool {
        self.snapshots.is_under_way()
    }

    fn snapshot_failed(&mut self, shared: &Shared<E>, reason: &str) {
        if !self.snapshots.put_off(self.applied.clock.last()) {
            let id = &shared.id;
            tracing::debug!(%id, %reason, "the snapshot of a long recovery is not stored");
            return;
        }
        EntityCounters::add(&shared.counters.snapshots_failed, 1);
        tracing::warn!(id = %shared.id, %reason, "snapshot not stored");
        self.signal(shared, &Signal::SnapshotFailed(reason.to_owned()));
    }

    /// Takes the result of the snapshot under way.
    pub(super) fn snapshot_saved(
        &mut self,
        shared: &Shared<E>,
        number: SequenceNr,
        result: Result<Metadata>,
        peers: &Peers,
        actions: &mut Vec<Action<E>>,
    ) {
        let metadata = match result {
            Ok(metadata) => metadata,
            Err(error) => {
                self.snapshots.failed(number);
                return self.snapshot_failed(shared, &error.to_string());
            }
        };
        EntityCounters::add(&shared.counters.snapshots_saved, 1);
        self.context.metadata = metadata;
        self.signal(shared, &Signal::SnapshotSaved(number));
        self.context.metadata = Metadata::new();
        let reactions = &self.applied.reminders;
        let deletable = |last| reactions.deletable(last);
        self.snapshots.saved(shared, number, |version| peers.all_have(version), deletable, actions);
    }

    /// Takes the result of a deletion of snapshots.
    pub(super) fn snapshots_deleted(
        &mut self,
        shared: &Shared<E>,
        last: SequenceNr,
        result: Result<()>,
    ) {
        let signal = match result {
            Ok(()) => Signal::SnapshotsDeleted(last),
            Err(error) => Signal::SnapshotsDeleteFailed(error.to_string()),
        };
        self.signal(shared, &signal);
    }

    /// Takes the result of a deletion of events.
    pub(super) fn events_deleted(
        &mut self,
        shared: &Shared<E>,
        last: SequenceNr,
        result: Result<()>,
    ) {
        let signal = match result {
            Ok(()) => Signal::EventsDeleted(last),
            Err(error) => Signal::EventsDeleteFailed(error.to_string()),
        };
        self.signal(shared, &signal);
    }

    /// Fails the answers that wait for the disk. Returns the state, and the `CaughtUp` actions that
    /// were not told.
    pub(super) fn fail(self, answer: &ReplyError) -> (Applied<E>, Vec<(ReplicaId, SequenceNr)>) {
        let Self { applied, persisting, outbox, .. } = self;
        (applied, outbox.fail(|stored| persisting.error_of(stored, answer)))
    }

    pub(super) fn check(&self, shared: &Shared<E>) {
        self.applied.check(shared);
        self.persisting.check(self.applied.newest);
        self.outbox.check(self.applied.newest);
        self.snapshots.check(self.applied.newest);
    }
}
