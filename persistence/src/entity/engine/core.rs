//! The phases of an entity, and the transitions between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::holding::Holding;
use super::queued::push;
use super::recovery::Recovery;
use super::running::{Failure, Running};
use super::stash::Stashed;
use super::{Action, Generation, Input, Now, Queued};
use crate::ErrorKind;
use crate::entity::{EntityCounters, EntitySettings, EventSourced, PeerHas, StopReason};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{ReplicaId, ReplicationId};
use crate::reply::ReplyError;
use crate::shape::ShapeBook;
use crate::store::Limits;

/// Most commands that one step handles. The entity then reads its next messages: commands that
/// stash themselves and unstash each other would keep it from a stop or a kill otherwise.
const STEP_COMMANDS_MAX: usize = 1000;

/// The values that all parts of an entity's engine share. Only `generation` changes in its life.
pub(super) struct Shared<E: EventSourced> {
    pub(super) behaviour: Arc<E>,
    pub(super) id: ReplicationId,
    pub(super) replicas: Arc<[ReplicaId]>,
    pub(super) settings: Arc<EntitySettings>,
    pub(super) counters: Arc<EntityCounters>,
    pub(super) generation: Generation,
    /// The limits of the journal.
    pub(super) limits: Limits,
    /// The shapes that the place has; `None`: no kind of event is refused.
    pub(super) shapes: Option<ShapeBook>,
}

pub(super) enum Phase<E: EventSourced> {
    /// Waits for its turn to recover.
    Permit,
    /// Reads the snapshot and then the events.
    Recovering(Box<Recovery<E>>),
    /// At work.
    Running(Box<Running<E>>),
    /// Failed; begins again at this time.
    Backoff { until: Instant },
    /// Over.
    Stopped,
}

/// The engine of one entity.
pub struct Engine<E: EventSourced> {
    pub(super) shared: Shared<E>,
    pub(super) phase: Phase<E>,
    pub(super) inbox: VecDeque<Queued<E::Command>>,
    pub(super) stash: VecDeque<Stashed<E::Command>>,
    /// Events of other replicas that came before the entity was at work.
    arrivals: Vec<StoredEvent>,
    pub(super) news: BTreeMap<ReplicaId, PeerHas>,
    pub(super) attempts: u32,
    pub(super) stopping: bool,
    /// A `GoOn` is under way.
    goes_on: bool,
    /// The highest number that was ever durable in this engine: a journal that has less has lost
    /// data.
    durable_ever: SequenceNr,
    /// The doubted replicas, which are asked before commands are taken.
    pub(super) doubted: Vec<ReplicaId>,
    /// An append of an earlier generation has not ended yet; recovery waits for it.
    pub(super) append_outstanding: bool,
    /// The time at which the last recovery ended.
    pub(super) recovered_at: Option<Instant>,
    /// The held events, while the entity is not at work.
    pub(super) holding: Holding,
}

impl<E: EventSourced> Engine<E> {
    /// The engine of one replica of an entity; `replicas` are all of them, this one too.
    pub fn new(
        behaviour: Arc<E>,
        id: ReplicationId,
        replicas: Arc<[ReplicaId]>,
        settings: Arc<EntitySettings>,
        counters: Arc<EntityCounters>,
    ) -> Self {
        Self {
            shared: Shared {
                behaviour,
                id,
                replicas,
                settings,
                counters,
                generation: 0,
                limits: Limits::default(),
                shapes: None,
            },
            phase: Phase::Permit,
            inbox: VecDeque::new(),
            stash: VecDeque::new(),
            arrivals: Vec::new(),
            news: BTreeMap::new(),
            attempts: 0,
            stopping: false,
            goes_on: false,
            durable_ever: SequenceNr::ZERO,
            doubted: Vec::new(),
            append_outstanding: false,
            recovered_at: None,
            holding: Holding::default(),
        }
    }

    /// The same engine on a journal with these limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.shared.limits = limits;
        self
    }

    /// The same engine in a place with these shapes.
    #[must_use]
    pub fn with_shapes(mut self, shapes: Option<ShapeBook>) -> Self {
        self.shared.shapes = shapes;
        self
    }

    /// Advances the entity by one input.
    pub fn step(&mut self, now: Now, input: Input<E>) -> Vec<Action<E>> {
        let mut actions = Vec::new();
        self.take(now, input, &mut actions);
        self.drive(now, &mut actions);
        self.check();
        actions
    }

    fn take(&mut self, now: Now, input: Input<E>, actions: &mut Vec<Action<E>>) {
        match input {
            Input::Start => self.begin(actions),
            Input::Doubted(replicas) => self.doubted(now, replicas, actions),
            Input::Vouched(replica) => self.vouched(&replica),
            Input::Command(queued) => push(&mut self.inbox, queued),
            Input::Replicated(events) => self.arrived(now, events),
            Input::PeerHas(news) => {
                self.heard(*news);
                self.found_behind(now, actions);
            }
            Input::Stop => self.stop(actions),
            Input::Kill => self.end(StopReason::Killed, actions),
            Input::Wake => self.wake(now, actions),
            Input::GoOn => self.goes_on = false,
            Input::Appended(generation, result) if generation < self.shared.generation => {
                drop(result);
                self.append_outstanding = false;
            }
            Input::PermitGranted(generation) => self.permitted(now, generation, actions),
            input @ (Input::SnapshotLoaded(..)
            | Input::Replayed(..)
            | Input::HighestFound(..)
            | Input::SnapshotsVoided(..)
            | Input::Appended(..)
            | Input::Pulled(..)
            | Input::SnapshotSaved(..)
            | Input::Skip(..)
            | Input::AsynchronousDone(..)) => self.result(now, input, actions),
        }
    }

    /// Takes a result of I/O. A result of an earlier generation is dropped.
    fn result(&mut self, now: Now, input: Input<E>, actions: &mut Vec<Action<E>>) {
        let (shared, current) = (&self.shared, self.shared.generation);
        let mut is_complete = false;
        let outcome = match (&mut self.phase, input) {
            (Phase::Recovering(recovery), Input::SnapshotLoaded(g, result)) if g == current => {
                recovery.snapshot_loaded(shared, result, actions)
            }
            (Phase::Recovering(recovery), Input::Replayed(g, result)) if g == current => {
                recovery.replayed(shared, result, actions).map(|done| is_complete = done)
            }
            (Phase::Recovering(recovery), Input::HighestFound(g, result)) if g == current => {
                recovery.highest_found(shared, result, actions).map(|done| is_complete = done)
            }
            (Phase::Recovering(_), Input::SnapshotsVoided(g, result)) if g == current => {
                let voided = result.map(|()| is_complete = true);
                voided.map_err(|error| store_failure("making a snapshot unusable", error))
            }
            (Phase::Running(running), Input::Appended(g, result)) if g == current => {
                let outcome = running.appended(shared, result, actions);
                if outcome.is_ok() {
                    // the store works: the next failure is a new one
                    self.attempts = 0;
                }
                self.durable_ever = self.durable_ever.max(running.durable());
                outcome
            }
            (Phase::Running(running), Input::Pulled(g, replica, result)) if g == current => {
                running.pulled(shared, now, &replica, result);
                Ok(())
            }
            (Phase::Running(running), Input::Skip(g, origin, number)) if g == current => {
                running.skip_event(now, &origin, number);
                Ok(())
            }
            (Phase::Running(running), Input::SnapshotSaved(g, number, result)) if g == current => {
                running.snapshot_saved(shared, number, result, actions);
                Ok(())
            }
            (Phase::Running(running), Input::AsynchronousDone(g, result)) if g == current => {
                if let Some(queued) = running.asynchronous_done(shared, result) {
                    self.inbox.push_front(queued);
                }
                Ok(())
            }
            (_, stale) => {
                let why = "the entity has started again, or ended".to_owned();
                stale.refuse(ReplyError::Unavailable(why));
                Ok(())
            }
        };
        if is_complete {
            return self.recovered(now, actions);
        }
        self.settle(now, outcome, actions);
    }

    pub(super) fn begin(&mut self, actions: &mut Vec<Action<E>>) {
        self.phase = Phase::Permit;
        actions.push(Action::RequestPermit(self.shared.generation));
    }

    fn permitted(&mut self, now: Now, generation: Generation, actions: &mut Vec<Action<E>>) {
        if generation != self.shared.generation || !matches!(self.phase, Phase::Permit) {
            return actions.push(Action::ReleasePermit);
        }
        match Recovery::new(&self.shared) {
            Ok(recovery) => self.phase = Phase::Recovering(Box::new(recovery)),
            Err(failure) => return self.settle(now, Err(failure), actions),
        }
        actions.push(Action::LoadSnapshot(generation, SequenceNr::MAX));
    }

    fn recovered(&mut self, now: Now, actions: &mut Vec<Action<E>>) {
        actions.push(Action::ReleasePermit);
        let Phase::Recovering(recovery) = std::mem::replace(&mut self.phase, Phase::Stopped) else {
            panic!("recovered without recovery");
        };
        let mut running = recovery.finish(&self.shared);
        if running.durable() < self.durable_ever {
            let reason = format!(
                "journal of `{}`: expected events up to {}, actual {}: the store has lost data",
                self.shared.id,
                self.durable_ever,
                running.durable()
            );
            tracing::error!(%reason, "entity stops");
            return self.end(StopReason::Failed(reason), actions);
        }
        EntityCounters::add(&self.shared.counters.recoveries, 1);
        self.durable_ever = running.durable();
        self.recovered_at = Some(now.instant);
        running.begin(&self.shared, now, std::mem::take(&mut self.holding));
        self.phase = Phase::Running(Box::new(running));
        self.doubt_again(now, actions);
        let arrivals = std::mem::take(&mut self.arrivals);
        self.arrived(now, arrivals);
        for news in std::mem::take(&mut self.news).into_values() {
            self.heard(news);
        }
        self.found_behind(now, actions);
    }

    fn arrived(&mut self, now: Now, events: Vec<StoredEvent>) {
        match &mut self.phase {
            // events that come too late are read from the journal when the entity starts again
            Phase::Running(_) if self.stopping => {}
            Phase::Running(running) if running.spoilt.is_none() => {
                running.arrived(&self.shared, now, events);
            }
            Phase::Running(_) | Phase::Permit | Phase::Recovering(_) | Phase::Backoff { .. } => {
                let room = self.shared.settings.arrivals_max - self.arrivals.len();
                let dropped = events.len().saturating_sub(room);
                EntityCounters::add(&self.shared.counters.arrival_overflows, dropped);
                self.arrivals.extend(events.into_iter().take(room));
            }
            Phase::Stopped => {}
        }
    }

    fn heard(&mut self, news: PeerHas) {
        match &mut self.phase {
            Phase::Running(running) => running.heard(news),
            Phase::Permit | Phase::Recovering(_) | Phase::Backoff { .. } => {
                merge_news(&mut self.news, news);
            }
            Phase::Stopped => {}
        }
    }

    fn wake(&mut self, now: Now, actions: &mut Vec<Action<E>>) {
        let Phase::Backoff { until } = self.phase else { return };
        if now.instant < until {
            return;
        }
        if self.append_outstanding {
            self.phase = Phase::Backoff { until: now.instant + self.shared.settings.restart_min };
            return actions.push(Action::WakeAfter(self.shared.settings.restart_min));
        }
        self.begin(actions);
    }

    fn stop(&mut self, actions: &mut Vec<Action<E>>) {
        self.stopping = true;
        if matches!(self.phase, Phase::Backoff { .. }) {
            self.end(StopReason::Drained, actions);
        }
    }

    /// Does everything that can be done now.
    fn drive(&mut self, now: Now, actions: &mut Vec<Action<E>>) {
        self.found_behind(now, actions);
        self.reclaim(now, actions);
        let Phase::Running(running) = &mut self.phase else { return };
        // actions whose events became durable are let out first
        running.persist(&self.shared, actions);
        for _ in 0..STEP_COMMANDS_MAX {
            if !running.takes_commands(&self.shared) {
                break;
            }
            let Some(queued) = self.inbox.pop_front() else { break };
            running.command(&self.shared, now, queued, &mut self.stash, &mut self.inbox);
            if !self.shared.settings.pipelined {
                running.persist(&self.shared, actions);
            }
        }
        running.persist(&self.shared, actions);
        if !self.goes_on && !self.inbox.is_empty() && running.takes_commands(&self.shared) {
            self.goes_on = true;
            actions.push(Action::GoOn);
        }
        if !self.stopping && running.spoilt.is_none() {
            running.pull(&self.shared, now, actions);
        }
        if !running.is_idle() {
            return;
        }
        if self.stopping && self.inbox.is_empty() {
            return self.end(StopReason::Drained, actions);
        }
        if let Some(reason) = running.spoilt.take() {
            self.start_over(&reason, actions);
        }
    }

    fn settle(&mut self, now: Now, outcome: Result<(), Failure>, actions: &mut Vec<Action<E>>) {
        match outcome {
            Ok(()) => {}
            Err(Failure::Restart { reason, answer }) => {
                self.restart(now, &reason, &answer, actions)
            }
            Err(Failure::Fenced(error)) => {
                EntityCounters::add(&self.shared.counters.fenced, 1);
                let reason = StopReason::Fenced(error.to_string());
                actions.push(Action::Fenced(error));
                self.end(reason, actions);
            }
            Err(Failure::Failed(reason)) => {
                tracing::error!(id = %self.shared.id, %reason, "entity stops");
                self.end(StopReason::Failed(reason), actions);
            }
        }
    }

    /// The running part of the engine, with the shared values; `None` while not at work.
    pub(super) fn parts(&mut self) -> Option<(&Shared<E>, &mut Running<E>)> {
        if let Phase::Running(running) = &mut self.phase {
            Some((&self.shared, running))
        } else {
            None
        }
    }

    pub(super) fn take_inbox(&mut self) -> VecDeque<Queued<E::Command>> {
        std::mem::take(&mut self.inbox)
    }

    fn check(&self) {
        if let Phase::Running(running) = &self.phase {
            running.check(&self.shared);
        }
        let settings = &self.shared.settings;
        debug_assert!(self.stash.len() <= settings.stash_max, "the stash is over its limit");
        debug_assert!(self.arrivals.len() <= settings.arrivals_max, "too many arrivals");
    }
}

/// Merges news of one replica.
pub(super) fn merge_news(all: &mut BTreeMap<ReplicaId, PeerHas>, news: PeerHas) {
    match all.get_mut(&news.replica) {
        Some(old) => {
            old.highest = old.highest.max(news.highest);
            old.seen.merge(&news.seen);
        }
        None => drop(all.insert(news.replica.clone(), news)),
    }
}

/// The failure of the entity that follows from a store's error.
pub(super) fn store_failure(what: &str, error: crate::Error) -> Failure {
    let reason = format!("{what}: {error}");
    match error.kind() {
        ErrorKind::Unavailable => {
            Failure::Restart { answer: ReplyError::Unavailable(reason.clone()), reason }
        }
        // a bug: the store may have done anything
        ErrorKind::Bug => Failure::Restart { answer: ReplyError::Stopped(reason.clone()), reason },
        ErrorKind::Timeout => Failure::Restart { answer: ReplyError::Timeout, reason },
        ErrorKind::Fenced => Failure::Fenced(error),
        ErrorKind::Rejected | ErrorKind::Corrupt => Failure::Failed(reason),
    }
}
