//! An entity at work: commands are handled against the newest state, durable or not.

use std::collections::{BTreeMap, VecDeque};

use antiphon_base::guard::{self, UserFailure};
use antiphon_base::time::{HybridClock, Timestamp};

use super::applying::{Applier, apply, describe};
use super::core::{Shared, merge_news};
use super::holding::Holding;
use super::peers::Peers;
use super::persisting::{Due, Persisting};
use super::reclaim::Doubts;
use super::stash::{Stashed, expired};
use super::{Now, Queued, Release, Slot, proof};
use crate::Error;
use crate::delivery::CausalDelivery;
use crate::entity::context::ReplicationContext;
use crate::entity::effect::{Kind, OnFailure, Then};
use crate::entity::{
    AsynchronousFailure, CommandContext, Effect, EntityCounters, EventSourced, PeerHas, Signal,
};
use crate::event::{EventMeta, Payload, SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::reply::{Claim, ReplyError, with_panic_reason};
use crate::version::VersionVector;

/// The reason why an entity cannot go on as before.
#[derive(Debug)]
pub(super) enum Failure {
    /// Begin again from the journal. Askers of commands that are not durable get `answer`, changed
    /// where more is known of the effect.
    Restart { reason: String, answer: ReplyError },
    /// Another writer owns the stream.
    Fenced(Error),
    /// The journal cannot be understood, or the store refuses for ever.
    Failed(String),
}

/// The command whose future is under way.
struct Asynchronous<C> {
    slot: Slot,
    claim: Claim,
    on_failure: Option<OnFailure<C>>,
}

/// An entity at work.
pub(super) struct Running<E: EventSourced> {
    pub(super) state: E::State,
    pub(super) delivery: CausalDelivery,
    pub(super) clock: HybridClock,
    pub(super) newest: SequenceNr,
    pub(super) persisting: Persisting<E>,
    pub(super) peers: Peers,
    pub(super) doubts: Doubts,
    applier: Applier,
    context: CommandContext,
    asynchronous: Option<Box<Asynchronous<E::Command>>>,
    passivating: bool,
    /// The reason why the state is not read any more: `on_event` panicked, and the state may be
    /// half-changed. Work that is under way is finished, then the entity begins again from the
    /// journal.
    pub(super) spoilt: Option<String>,
    pub(super) holding: Holding,
}

impl<E: EventSourced> Running<E> {
    pub(super) fn new(
        shared: &Shared<E>,
        state: E::State,
        delivery: CausalDelivery,
        clock: HybridClock,
        newest: SequenceNr,
        positions: BTreeMap<ReplicaId, SequenceNr>,
        snapshot: Option<(SequenceNr, VersionVector)>,
    ) -> Self {
        let common = ReplicationContext::new(shared.id.clone(), shared.replicas.clone());
        Self {
            state,
            delivery,
            clock,
            newest,
            persisting: Persisting::new(newest, snapshot),
            peers: Peers::new(shared, positions),
            doubts: Doubts::default(),
            applier: Applier::new(shared),
            context: CommandContext { common },
            asynchronous: None,
            passivating: false,
            spoilt: None,
            holding: Holding::default(),
        }
    }

    /// Begins to work; events that were held back before the restart are still held back.
    pub(super) fn begin(&mut self, shared: &Shared<E>, now: Now, holding: Holding) {
        self.holding = holding;
        self.hold_again();
        self.clock.tick(now.wall);
        self.signal(shared, &Signal::RecoveryCompleted);
    }

    pub(super) fn state(&self) -> &E::State {
        &self.state
    }

    pub(super) fn seen(&self) -> &VersionVector {
        self.delivery.seen()
    }

    /// Tells the behaviour of a signal. A panic there is logged and counted, and changes nothing.
    pub(super) fn signal(&mut self, shared: &Shared<E>, signal: &Signal) {
        if self.spoilt.is_some() {
            return;
        }
        self.context.common.at(self.clock.last(), self.newest);
        let told = guard::call("on_signal", &shared.id, || {
            shared.behaviour.on_signal(&self.context, &self.state, signal);
        });
        if told.is_err() {
            EntityCounters::add(&shared.counters.handler_panics, 1);
        }
    }

    pub(super) fn takes_commands(&self, shared: &Shared<E>) -> bool {
        let settings = &shared.settings;
        self.asynchronous.is_none()
            && !self.doubts.is_open()
            && self.spoilt.is_none()
            && self.persisting.has_room(settings)
            && (settings.pipelined || self.persisting.is_settled())
    }

    /// Returns whether a future is under way, or waits for its turn.
    pub(super) fn has_asynchronous(&self) -> bool {
        self.asynchronous.is_some()
    }

    /// Returns whether no future, append or action is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.asynchronous.is_none() && self.persisting.is_settled()
    }

    /// Ends an asynchronous effect. Returns the command that it made, if any, to be handled first.
    pub(super) fn asynchronous_done(
        &mut self,
        shared: &Shared<E>,
        result: Result<E::Command, AsynchronousFailure>,
    ) -> Option<Queued<E::Command>> {
        let Asynchronous { slot, claim, on_failure } = *self.asynchronous.take()?;
        let command = match (result, on_failure) {
            (Ok(command), on_failure) => {
                let _ = guard::call("Drop of an effect", &shared.id, || drop(on_failure));
                command
            }
            (Err(failure), on_failure) => {
                let counter = match failure {
                    AsynchronousFailure::TimedOut => &shared.counters.asynchronous_timeouts,
                    AsynchronousFailure::Panicked => &shared.counters.handler_panics,
                };
                EntityCounters::add(counter, 1);
                tracing::warn!(id = %shared.id, %failure, "an asynchronous effect ended without a command");
                let on_failure = on_failure?;
                let reason = ReplyError::Unanswered(failure.to_string());
                let made = with_panic_reason(&claim, reason, || {
                    guard::call("asynchronous_or", &shared.id, || on_failure(failure))
                });
                made.ok()?
            }
        };
        Some(Queued { command, slot, claim: claim.acted() })
    }

    pub(super) fn command(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        queued: Queued<E::Command>,
        stash: &mut VecDeque<Stashed<E::Command>>,
        inbox: &mut VecDeque<Queued<E::Command>>,
    ) {
        if !queued.claim.take(now.instant) {
            return expired(shared, queued);
        }
        let Queued { command, slot, claim } = queued;
        EntityCounters::add(&shared.counters.commands_handled, 1);
        let time = self.clock.tick(now.wall);
        self.context.common.at(time, self.newest);
        // a command whose handler panics has stored nothing, and its `ReplyTo` is dropped on the
        // way out
        let reason = claim.truth(ReplyError::Failed("`on_command` panicked".into()));
        let decided = with_panic_reason(&claim, reason, || {
            guard::call("on_command", &shared.id, || {
                shared.behaviour.on_command(&self.context, &self.state, command)
            })
        });
        let Ok(Effect { kind, then, stop, unstash }) = decided else {
            EntityCounters::add(&shared.counters.handler_panics, 1);
            return claim.end();
        };
        if unstash {
            // before the command itself is stashed: that one waits for the next time
            for stashed in std::mem::take(stash).into_iter().rev() {
                inbox.push_front(stashed.unstash());
            }
        }
        if let Some(queued) = self.run_effect(shared, time, kind, then, (slot, claim)) {
            self.stash(shared, now, queued, stash);
        }
        if stop && !self.passivating {
            self.passivating = true;
            self.persisting.defer(self.newest, Due::Passivate);
        }
    }

    /// Runs the effect of a command. Returns the command if it is to be stashed.
    fn run_effect(
        &mut self,
        shared: &Shared<E>,
        time: Timestamp,
        kind: Kind<E>,
        then: Vec<Box<dyn Then<E::State>>>,
        (slot, claim): (Slot, Claim),
    ) -> Option<Queued<E::Command>> {
        let mut stored = None;
        match kind {
            Kind::Persist(events) => match self.persist_own(shared, time, events) {
                Ok(last) => stored = last,
                Err(error) => {
                    tracing::warn!(id = %shared.id, reason = %error, "command rejected");
                    let error = claim.truth(error);
                    then.into_iter().for_each(|then| then.fail(&claim, error.clone()));
                    claim.end();
                    return None;
                }
            },
            Kind::None => {}
            Kind::Unhandled => {
                EntityCounters::add(&shared.counters.commands_unhandled, 1);
                tracing::debug!(id = %shared.id, "a command was not handled");
            }
            Kind::Stash(command) => {
                not_run(shared, &claim, then, "`Effect::stash`");
                return Some(Queued { command, slot, claim });
            }
            Kind::Asynchronous(future, on_failure) => {
                not_run(shared, &claim, then, "`Effect::asynchronous`");
                self.persisting.defer(self.newest, Due::Asynchronous(future, claim.clone()));
                self.asynchronous = Some(Box::new(Asynchronous { slot, claim, on_failure }));
                return None;
            }
        }
        let prepared = then.into_iter().map(|then| then.prepare(&self.state)).collect();
        let release = Release { prepared, stored, claim, _slot: slot };
        self.persisting.defer(self.newest, Due::Release(release));
        None
    }

    /// Applies the events of a command and hands them to the next append. Returns the number of the
    /// last event, if there is one. After an error, no event of the command is ever stored.
    fn persist_own(
        &mut self,
        shared: &Shared<E>,
        time: Timestamp,
        events: Vec<E::Event>,
    ) -> Result<Option<SequenceNr>, ReplyError> {
        let encoded = guard::call("event_type or Serialize of an event", &shared.id, || {
            let payloads = self.encode(shared, &events)?;
            self.within_limits(shared, &payloads).map(|()| payloads)
        });
        let refusal = match encoded {
            Ok(Ok(payloads)) => return self.apply_own(shared, time, events, payloads),
            Ok(Err(reason)) => ReplyError::Rejected(reason),
            Err(failure) => {
                EntityCounters::add(&shared.counters.handler_panics, 1);
                ReplyError::Failed(failure.to_string())
            }
        };
        guard::drop_each("Drop of an event", &shared.id, events);
        Err(refusal)
    }

    fn apply_own(
        &mut self,
        shared: &Shared<E>,
        time: Timestamp,
        events: Vec<E::Event>,
        payloads: Vec<Payload>,
    ) -> Result<Option<SequenceNr>, ReplyError> {
        let mut events = events.into_iter().zip(payloads);
        self.own_events(shared, time, &mut events).map_err(|failure| {
            guard::drop_each("Drop of an event", &shared.id, events);
            let reason = format!("{failure} at an event of a command");
            self.spoilt = Some(reason.clone());
            ReplyError::Failed(reason)
        })
    }

    fn encode(&self, shared: &Shared<E>, events: &[E::Event]) -> Result<Vec<Payload>, String> {
        let limit = shared.settings.command_events_max;
        if events.len() > limit {
            return Err(format!(
                "{} events of one command: expected at most {limit} (`command_events_max`)",
                events.len()
            ));
        }
        events.iter().map(|event| proof::event(shared, event)).collect()
    }

    fn own_events(
        &mut self,
        shared: &Shared<E>,
        time: Timestamp,
        events: &mut impl ExactSizeIterator<Item = (E::Event, Payload)>,
    ) -> Result<Option<SequenceNr>, UserFailure> {
        let mut group = Vec::with_capacity(events.len());
        let before = self.newest;
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
            self.doubts.note_own(meta.origin_nr(), time);
            let stored = StoredEvent { sequence_nr: self.newest, meta, payload };
            let context = self.applier.context(&stored, false);
            let applied = apply(shared, context, &mut self.state, event);
            let wanted = applied.inspect_err(|_| {
                let count = self.newest.value() - before.value();
                self.delivery.forget_own(shared.id.replica_id(), count);
                self.newest = before;
            })?;
            group.push(stored);
            self.persisting.snapshot_due |= wanted;
        }
        EntityCounters::add(&shared.counters.events_persisted, group.len());
        self.persisting.collect(group);
        self.snapshot_if_due(shared);
        Ok((self.newest > before).then_some(self.newest))
    }

    /// Applies an event from another replica that is ready, and gives it the number under which it
    /// will be stored.
    ///
    /// # Errors
    /// The reason why the event cannot be applied: nothing was changed, or the state is spoilt.
    pub(super) fn other_event(
        &mut self,
        shared: &Shared<E>,
        event: &mut StoredEvent,
    ) -> Result<(), String> {
        event.sequence_nr = self.newest.next();
        let events = Applier::read(shared, event)?;
        let applied = self.applier.apply(shared, &mut self.state, event, events, false);
        let wanted = applied.map_err(|failure| {
            let reason = describe(shared, event, &failure.to_string());
            self.spoilt = Some(reason.clone());
            reason
        })?;
        self.persisting.snapshot_due |= wanted;
        self.newest = event.sequence_nr;
        self.clock.observe(event.meta.timestamp);
        if event.meta.origin == *shared.id.replica_id() {
            self.doubts.note_own(event.meta.origin_nr(), event.meta.timestamp);
        }
        Ok(())
    }

    pub(super) fn heard(&mut self, news: PeerHas) {
        self.peers.heard(news);
    }

    /// Fails the answers that wait for the disk. Returns the news that were not answered, and the
    /// held events.
    pub(super) fn fail(
        self,
        shared: &Shared<E>,
        answer: &ReplyError,
    ) -> (BTreeMap<ReplicaId, PeerHas>, Holding) {
        let Self { state, persisting, peers, asynchronous, holding, .. } = self;
        let mut news = peers.into_news();
        for (replica, highest) in persisting.fail(answer) {
            // the news were covered by events that are not durable: they must be covered again
            let seen = VersionVector::new();
            merge_news(&mut news, PeerHas { replica, highest, seen });
        }
        let _ = guard::call("Drop of an effect", &shared.id, || drop(asynchronous));
        let _ = guard::call("Drop of a state", &shared.id, || drop(state));
        (news, holding)
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

/// Fails the `then_reply` and `then_run` of a stash or an asynchronous effect. The command that is
/// handled later has its own.
fn not_run<E: EventSourced>(
    shared: &Shared<E>,
    claim: &Claim,
    then: Vec<Box<dyn Then<E::State>>>,
    what: &str,
) {
    if then.is_empty() {
        return;
    }
    let why = format!("`then_reply` and `then_run` are not run after {what}");
    tracing::error!(id = %shared.id, "{why}");
    then.into_iter().for_each(|then| then.fail(claim, ReplyError::Unanswered(why.clone())));
}
