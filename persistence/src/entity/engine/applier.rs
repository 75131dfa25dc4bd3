//! Reads stored events as events of today, and applies them to the state.

use std::sync::atomic::AtomicU32;

use antiphon_base::guard::{self, UserFailure};
use antiphon_base::time::Timestamp;

use super::shared::Shared;
use super::skipped::is_skipped;
use crate::entity::context::ReplicationContext;
use crate::entity::{DoneBefore, EntityCounters, EventContext, EventSourced};
use crate::event::{EventMeta, Labels, SequenceNr, StoredEvent};
use crate::version::VersionVector;

/// Applies events to the state, with the context that the handler may see.
pub(super) struct Applier {
    /// The context of the last event, kept because successive events mostly have the same names.
    context: EventContext,
}

impl Applier {
    pub(super) fn new<E: EventSourced>(shared: &Shared<E>) -> Self {
        let common = ReplicationContext::new(shared.surroundings.clone());
        let meta = EventMeta {
            origin: shared.id.replica_id().clone(),
            version: VersionVector::new(),
            source_seq: SequenceNr::ZERO,
            concurrent: false,
            timestamp: Timestamp::default(),
            labels: Labels::none(),
        };
        let (operations, done_before) = (AtomicU32::new(0), None);
        let context =
            EventContext { common, meta, recovery_running: true, operations, done_before };
        Self { context }
    }

    /// Reads a stored event as zero or more events of today. Nothing is changed.
    ///
    /// # Errors
    /// The reason why the event cannot be read.
    pub(super) fn read<E: EventSourced>(
        shared: &Shared<E>,
        event: &StoredEvent,
    ) -> Result<Vec<E::Event>, String> {
        if is_skipped(event) {
            return Ok(Vec::new());
        }
        let read = || shared.behaviour.from_journal(&event.payload);
        match guard::call("from_journal", &shared.id, read) {
            Ok(events) => events.map_err(|error| describe(shared, event, &error.to_string())),
            Err(failure) => Err(describe(shared, event, &failure.to_string())),
        }
    }

    /// Applies a stored event that was read. Returns whether the behaviour wants a snapshot.
    ///
    /// # Errors
    /// A panic of `on_event`: the state may be half-changed then.
    pub(super) fn apply<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        state: &mut E::State,
        (event, done_before): (&StoredEvent, Option<Box<DoneBefore>>),
        events: Vec<E::Event>,
        recovery_running: bool,
    ) -> Result<bool, UserFailure> {
        let context = self.context(event, done_before, recovery_running);
        let mut wanted = Ok(false);
        let mut events = events.into_iter();
        for event in events.by_ref() {
            match apply(shared, context, state, event) {
                Ok(snapshot_wanted) => wanted = wanted.map(|before| before | snapshot_wanted),
                Err(failure) => {
                    wanted = Err(failure);
                    break;
                }
            }
        }
        guard::drop_each("Drop of an event", &shared.id, events);
        self.forget_labels();
        wanted
    }

    /// Lets go of the labels of the last event: an idle entity keeps nothing of them.
    pub(super) fn forget_labels(&mut self) {
        self.context.meta.labels = Labels::none();
        self.context.done_before = None;
    }

    pub(super) fn check(&self) {
        let EventContext { meta, done_before, .. } = &self.context;
        assert!(meta.labels.is_empty(), "labels of an event that was applied");
        assert!(done_before.is_none(), "a handling of an event that was applied");
    }

    /// The context of an event; [`Self::forget_labels`] follows after the last one.
    pub(super) fn context(
        &mut self,
        event: &StoredEvent,
        done_before: Option<Box<DoneBefore>>,
        recovery_running: bool,
    ) -> &EventContext {
        let EventContext {
            common,
            meta,
            recovery_running: running,
            done_before: before,
            operations,
        } = &mut self.context;
        *operations.get_mut() = 0;
        common.at(event.meta.timestamp, event.sequence_nr);
        let EventMeta { origin, version, source_seq, concurrent, timestamp, labels } = &event.meta;
        if meta.origin != *origin {
            meta.origin = origin.clone();
        }
        meta.version.clone_from(version);
        // the answer comes after the event was applied, at the replica that wrote it
        if !labels.is_empty() && labels.metadata().answer().is_some() {
            meta.labels = labels.without_answer();
        } else {
            meta.labels.clone_from(labels);
        }
        *before = done_before;
        (meta.source_seq, meta.concurrent, meta.timestamp) = (*source_seq, *concurrent, *timestamp);
        *running = recovery_running;
        &self.context
    }
}

/// Names an event and the reason why it cannot be used.
pub(super) fn describe<E: EventSourced>(
    shared: &Shared<E>,
    event: &StoredEvent,
    why: &str,
) -> String {
    format!(
        "event {} of `{}` (manifest {:?}, version {}): {why}",
        event.sequence_nr, shared.id, event.payload.manifest, event.payload.version
    )
}

/// Applies an event, drops it, and returns whether the behaviour wants a snapshot.
pub(super) fn apply<E: EventSourced>(
    shared: &Shared<E>,
    context: &EventContext,
    state: &mut E::State,
    event: E::Event,
) -> Result<bool, UserFailure> {
    let result = apply_borrowed(shared, context, state, &event);
    let _ = guard::call("Drop of an event", &shared.id, || drop(event));
    result
}

fn apply_borrowed<E: EventSourced>(
    shared: &Shared<E>,
    context: &EventContext,
    state: &mut E::State,
    event: &E::Event,
) -> Result<bool, UserFailure> {
    let applied =
        guard::call("on_event", &shared.id, || shared.behaviour.on_event(context, state, event));
    applied.inspect_err(|_| EntityCounters::add(&shared.counters.handler_panics, 1))?;
    if context.recovery_running {
        return Ok(false);
    }
    let wanted = guard::call("snapshot_when", &shared.id, || {
        shared.behaviour.snapshot_when(state, event, context.sequence_nr())
    });
    // the event was applied: a failure here means no
    Ok(wanted.unwrap_or_else(|_| {
        EntityCounters::add(&shared.counters.handler_panics, 1);
        false
    }))
}
