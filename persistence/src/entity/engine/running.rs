//! At work: commands are handled against the newest state, durable or not.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::core::{Shared, merge_news};
use super::persisting::{Due, Persisting};
use super::replication::Peers;
use super::{Now, Queued, Release, Slot, proof};
use crate::delivery::CausalDelivery;
use crate::entity::context::ReplicationContext;
use crate::entity::effect::{Kind, Then};
use crate::entity::{
    CommandContext, Effect, EntityCounters, EventContext, EventSourced, PeerHas, Signal,
};
use crate::event::{EventMeta, Payload, SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::reply::{ReplyError, refuse};
use crate::time::{HybridClock, Timestamp};
use crate::version::VersionVector;
use crate::{Error, Result};

/// Why an entity cannot simply go on.
#[derive(Debug)]
pub(super) enum Failure {
    /// Begin again from the journal; askers of what was not durable get `answer`.
    Restart { reason: String, answer: ReplyError },
    /// Another writer owns the stream.
    Fenced(Error),
    /// The journal cannot be understood, or the store refuses for ever.
    Failed(String),
}

/// Applies events to the state, with the context that the handler may see.
pub(super) struct Applier {
    /// Of the last event: most that follow each other have the same names.
    context: EventContext,
}

impl Applier {
    pub(super) fn new<E: EventSourced>(shared: &Shared<E>) -> Self {
        let common = ReplicationContext::new(shared.id.clone(), shared.replicas.clone());
        let meta = EventMeta {
            origin: shared.id.replica_id().clone(),
            version: VersionVector::new(),
            source_seq: SequenceNr::ZERO,
            concurrent: false,
            timestamp: Timestamp::default(),
        };
        Self { context: EventContext { common, meta, recovery_running: true } }
    }

    /// Applies a stored event, carried forward by the behaviour.
    pub(super) fn apply_stored<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        state: &mut E::State,
        event: &StoredEvent,
        recovery_running: bool,
    ) -> Result<(), Failure> {
        let read = catch_unwind(AssertUnwindSafe(|| shared.behaviour.from_journal(&event.payload)));
        let events = match read {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => return Err(unreadable(shared, event, &error.to_string())),
            Err(_) => return Err(unreadable(shared, event, "`from_journal` panicked")),
        };
        let context = self.context(event, recovery_running);
        for event in &events {
            apply(shared, context, state, event)?;
        }
        Ok(())
    }

    fn context(&mut self, event: &StoredEvent, recovery_running: bool) -> &EventContext {
        let EventContext { common, meta, recovery_running: running } = &mut self.context;
        common.at(event.meta.timestamp, event.sequence_nr);
        let EventMeta { origin, version, source_seq, concurrent, timestamp } = &event.meta;
        if meta.origin != *origin {
            meta.origin = origin.clone();
        }
        meta.version.clone_from(version);
        (meta.source_seq, meta.concurrent, meta.timestamp) = (*source_seq, *concurrent, *timestamp);
        *running = recovery_running;
        &self.context
    }
}

fn unreadable<E: EventSourced>(shared: &Shared<E>, event: &StoredEvent, why: &str) -> Failure {
    Failure::Failed(format!(
        "event {} of `{}` (manifest {:?}, version {}): {why}",
        event.sequence_nr, shared.id, event.payload.manifest, event.payload.version
    ))
}

fn apply<E: EventSourced>(
    shared: &Shared<E>,
    context: &EventContext,
    state: &mut E::State,
    event: &E::Event,
) -> Result<(), Failure> {
    let applied =
        catch_unwind(AssertUnwindSafe(|| shared.behaviour.on_event(context, state, event)));
    applied.map_err(|_| {
        EntityCounters::add(&shared.counters.handler_panics, 1);
        let number = context.sequence_nr();
        let reason = format!("`on_event` panicked at event {number} of `{}`", shared.id);
        Failure::Restart { answer: ReplyError::Unavailable(reason.clone()), reason }
    })
}

/// An entity at work.
pub(super) struct Running<E: EventSourced> {
    pub(super) state: E::State,
    pub(super) delivery: CausalDelivery,
    pub(super) clock: HybridClock,
    pub(super) newest: SequenceNr,
    pub(super) persisting: Persisting<E>,
    pub(super) peers: Peers,
    applier: Applier,
    context: CommandContext,
    /// The place of the command whose future is under way.
    asynchronous: Option<Slot>,
    passivating: bool,
}

impl<E: EventSourced> Running<E> {
    pub(super) fn new(
        shared: &Shared<E>,
        state: E::State,
        delivery: CausalDelivery,
        clock: HybridClock,
        newest: SequenceNr,
        positions: BTreeMap<ReplicaId, SequenceNr>,
    ) -> Self {
        let common = ReplicationContext::new(shared.id.clone(), shared.replicas.clone());
        let running = Self {
            state,
            delivery,
            clock,
            newest,
            persisting: Persisting::new(newest),
            peers: Peers::new(shared, positions),
            applier: Applier::new(shared),
            context: CommandContext { common },
            asynchronous: None,
            passivating: false,
        };
        running.signal(shared, &Signal::RecoveryCompleted);
        running
    }

    pub(super) fn state(&self) -> &E::State {
        &self.state
    }

    pub(super) fn seen(&self) -> &VersionVector {
        self.delivery.seen()
    }

    /// Tells the behaviour; a panic there is logged and changes nothing.
    pub(super) fn signal(&self, shared: &Shared<E>, signal: &Signal) {
        let told = catch_unwind(AssertUnwindSafe(|| {
            shared.behaviour.on_signal(&self.context, &self.state, signal);
        }));
        if told.is_err() {
            EntityCounters::add(&shared.counters.handler_panics, 1);
            tracing::error!(id = %shared.id, ?signal, "`on_signal` panicked");
        }
    }

    pub(super) fn takes_commands(&self, shared: &Shared<E>) -> bool {
        let settings = &shared.settings;
        self.asynchronous.is_none()
            && self.persisting.has_room(settings)
            && (settings.pipelined || self.persisting.is_settled())
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.asynchronous.is_none() && self.persisting.is_settled()
    }

    pub(super) fn asynchronous_done(&mut self) -> Option<Slot> {
        self.asynchronous.take()
    }

    pub(super) fn command(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        queued: Queued<E::Command>,
        stash: &mut VecDeque<Queued<E::Command>>,
        inbox: &mut VecDeque<Queued<E::Command>>,
    ) -> Result<(), Failure> {
        EntityCounters::add(&shared.counters.commands_handled, 1);
        let Queued { command, slot } = queued;
        let time = self.clock.tick(now.wall);
        self.context.common.at(time, self.newest);
        let decided = catch_unwind(AssertUnwindSafe(|| {
            shared.behaviour.on_command(&self.context, &self.state, command)
        }));
        let Ok(Effect { kind, then, stop, unstash }) = decided else {
            // the command's `ReplyTo` was dropped on the way out, which answers; the state is as it was
            EntityCounters::add(&shared.counters.handler_panics, 1);
            tracing::error!(id = %shared.id, "`on_command` panicked, the command is dropped");
            return Ok(());
        };
        if let Some(slot) = self.run_effect(shared, time, kind, then, slot, stash)? {
            stash.push_back(slot);
        }
        if unstash {
            for queued in std::mem::take(stash).into_iter().rev() {
                inbox.push_front(queued);
            }
        }
        if stop && !self.passivating {
            self.passivating = true;
            self.persisting.defer(self.newest, Due::Passivate);
        }
        Ok(())
    }

    /// Returns the command if it is to be stashed.
    fn run_effect(
        &mut self,
        shared: &Shared<E>,
        time: Timestamp,
        kind: Kind<E>,
        then: Vec<Box<dyn Then<E::State>>>,
        slot: Slot,
        stash: &VecDeque<Queued<E::Command>>,
    ) -> Result<Option<Queued<E::Command>>, Failure> {
        match kind {
            Kind::Persist(events) => match self
                .encode(shared, events)
                .and_then(|events| self.within_limits(shared, events))
            {
                Ok(events) => self.own_events(shared, time, events)?,
                Err(reason) => {
                    tracing::warn!(id = %shared.id, %reason, "command rejected");
                    for then in then {
                        then.fail(ReplyError::Rejected(reason.clone()));
                    }
                    return Ok(None);
                }
            },
            Kind::None => {}
            Kind::Unhandled => {
                EntityCounters::add(&shared.counters.commands_unhandled, 1);
                tracing::debug!(id = %shared.id, "a command was not handled");
            }
            Kind::Stash(command) => {
                if stash.len() < shared.settings.stash_max {
                    return Ok(Some(Queued { command, slot }));
                }
                EntityCounters::add(&shared.counters.stash_overflows, 1);
                let limit = shared.settings.stash_max;
                tracing::warn!(id = %shared.id, limit, "`stash_max` reached, a command is dropped");
                refuse(command, ReplyError::Overloaded(format!("`stash_max` {limit}")));
                return Ok(None);
            }
            Kind::Asynchronous(future) => {
                self.asynchronous = Some(slot);
                self.persisting.defer(self.newest, Due::Asynchronous(future));
                return Ok(None);
            }
        }
        let prepared = then.into_iter().map(|then| then.prepare(&self.state)).collect();
        self.persisting.defer(self.newest, Due::Release(Release { prepared, _slot: slot }));
        Ok(None)
    }

    fn encode(
        &self,
        shared: &Shared<E>,
        events: Vec<E::Event>,
    ) -> Result<Vec<(E::Event, Payload)>, String> {
        let limit = shared.settings.command_events_max;
        if events.len() > limit {
            return Err(format!(
                "{} events of one command: expected at most {limit} (`command_events_max`)",
                events.len()
            ));
        }
        let encode = |event: E::Event| proof::event(shared, &event).map(|payload| (event, payload));
        events.into_iter().map(encode).collect()
    }

    fn own_events(
        &mut self,
        shared: &Shared<E>,
        time: Timestamp,
        events: Vec<(E::Event, Payload)>,
    ) -> Result<(), Failure> {
        let mut group = Vec::with_capacity(events.len());
        for (event, payload) in events {
            let version = self.delivery.record_own(shared.id.replica_id());
            self.newest = self.newest.next();
            let meta = EventMeta {
                origin: shared.id.replica_id().clone(),
                version,
                source_seq: self.newest,
                concurrent: false,
                timestamp: time,
            };
            let stored = StoredEvent { sequence_nr: self.newest, meta, payload };
            let context = self.applier.context(&stored, false);
            apply(shared, context, &mut self.state, &event)?;
            let wanted = shared.behaviour.snapshot_when(&self.state, &event, self.newest);
            group.push(stored);
            self.persisting.snapshot_due |= wanted;
        }
        EntityCounters::add(&shared.counters.events_persisted, group.len());
        self.persisting.collect(group);
        self.snapshot_if_due(shared);
        Ok(())
    }

    /// Applies an event of another replica that is ready, and returns it as it will be stored.
    pub(super) fn other_event(
        &mut self,
        shared: &Shared<E>,
        mut event: StoredEvent,
    ) -> Result<StoredEvent, Failure> {
        self.newest = self.newest.next();
        event.sequence_nr = self.newest;
        self.clock.observe(event.meta.timestamp);
        self.applier.apply_stored(shared, &mut self.state, &event, false)?;
        Ok(event)
    }

    pub(super) fn heard(&mut self, news: PeerHas) {
        self.peers.heard(news);
    }

    /// Fails what waits for the disk, and returns the news that were not answered.
    pub(super) fn fail(self, answer: &ReplyError) -> BTreeMap<ReplicaId, PeerHas> {
        let mut news = self.peers.into_news();
        for (replica, highest) in self.persisting.fail(answer) {
            // it was covered by events that are not durable: to be covered again
            let seen = VersionVector::new();
            merge_news(&mut news, PeerHas { replica, highest, seen });
        }
        news
    }

    pub(super) fn check(&self, shared: &Shared<E>) {
        if cfg!(debug_assertions) {
            self.delivery.check();
            self.persisting.check(self.newest, shared);
            assert_eq!(
                self.delivery.seen().event_count(),
                self.newest.value(),
                "`{}`: each event is in the stream once",
                shared.id
            );
        }
    }
}
