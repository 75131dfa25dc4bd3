//! The transitions between the phases of an entity, and the way of each input to its part.

use std::sync::Arc;

use super::away::Away;
use super::doubted::Doubted;
use super::failure::Failure;
use super::inbox::Inbox;
use super::phase::Phase;
use super::recovery::Recovery;
use super::restarts::Restarts;
use super::running::Running;
use super::shared::Shared;
use super::{Action, Generation, Input, Now, Queued, Slot};
use crate::entity::surroundings::Surroundings;
use crate::entity::{EntityCounters, EntitySettings, EventSourced, PeerHas, Signal, StopReason};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::reply::ReplyError;
use crate::shape::ShapeBook;
use crate::store::{Limits, ReminderRow};

/// The engine of one entity.
pub struct Engine<E: EventSourced> {
    pub(super) shared: Shared<E>,
    pub(super) phase: Phase<E>,
    pub(super) inbox: Inbox<E::Command>,
    /// The things that other replicas send while the entity is not at work.
    away: Away,
    restarts: Restarts,
    stopping: bool,
    /// A `GoOn` is under way.
    goes_on: bool,
    /// The permit to recover is kept until the snapshot of the recovery was saved: a place that
    /// starts again saves no more of them at a time than it recovers.
    keeps_permit: bool,
    /// The highest number that was ever durable in this engine: a journal that has less has lost
    /// data.
    durable_ever: SequenceNr,
    /// The doubted replicas, which are asked before commands are taken.
    pub(super) doubted: Doubted,
    /// An append of an earlier generation has not ended yet; recovery waits for it.
    append_outstanding: bool,
}

impl<E: EventSourced> Engine<E> {
    /// The engine of one replica of an entity.
    pub(crate) fn new(
        behaviour: Arc<E>,
        surroundings: Arc<Surroundings>,
        settings: Arc<EntitySettings>,
    ) -> Self {
        let (id, counters) = (surroundings.id.clone(), surroundings.kin.counters.clone());
        Self {
            shared: Shared {
                behaviour,
                id,
                surroundings,
                settings,
                counters,
                generation: 0,
                limits: Limits::default(),
                shapes: None,
            },
            phase: Phase::Permit,
            inbox: Inbox::new(),
            away: Away::default(),
            restarts: Restarts::default(),
            stopping: false,
            goes_on: false,
            keeps_permit: false,
            durable_ever: SequenceNr::ZERO,
            doubted: Doubted::default(),
            append_outstanding: false,
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
    ///
    /// # Panics
    /// When the engine is in a state that cannot be, or gets a result that it has not asked for.
    /// The entity must be [broken off](Self::break_off) then.
    pub fn step(&mut self, now: Now, input: Input<E>) -> Vec<Action<E>> {
        let mut actions = Vec::new();
        self.step_into(now, input, &mut actions, &|| true);
        actions
    }

    /// The same, with the room of `actions`, to which the actions are added. `goes_on` is asked now
    /// and then while more commands wait; when it says no, they wait for the next step, which
    /// [`Action::GoOn`] asks for.
    ///
    /// # Panics
    /// As [`Self::step`].
    pub fn step_into(
        &mut self,
        now: Now,
        input: Input<E>,
        actions: &mut Vec<Action<E>>,
        goes_on: &dyn Fn() -> bool,
    ) {
        self.take(now, input, actions);
        self.drive(now, actions, goes_on);
        if cfg!(debug_assertions) {
            self.check();
        }
    }

    /// Gives room back that an idle entity does not need.
    pub(crate) fn shrink(&mut self) {
        self.inbox.shrink();
        if let Phase::Running(running) = &mut self.phase {
            running.shrink();
        }
    }

    /// Ends the entity after a panic of [`Self::step`], which is a bug of the engine. Nothing more
    /// is stored, since the memory of the entity can be wrong; the next start reads the journal.
    pub fn break_off(&mut self, why: &str) -> Vec<Action<E>> {
        EntityCounters::add(&self.shared.counters.engines_broken, 1);
        let mut actions = Vec::new();
        self.end(StopReason::Failed(format!("the entity's engine is broken: {why}")), &mut actions);
        actions
    }

    fn take(&mut self, now: Now, input: Input<E>, actions: &mut Vec<Action<E>>) {
        match input {
            Input::Start => self.start(actions),
            Input::Doubted(replicas) => self.doubt(now, replicas, actions),
            Input::Vouched(replica) => {
                self.doubted.vouched(&self.shared, &mut self.phase, &replica)
            }
            Input::Command(queued) => self.queue(queued),
            Input::Commands(all) => {
                self.inbox.reserve(all.len());
                all.into_iter().for_each(|queued| self.queue(queued));
            }
            Input::ReminderDue(row, slot) => self.reminder_due(row, slot),
            Input::Replicated(events) => self.arrived(now, events),
            Input::PeerHas(news) => {
                self.heard(*news);
                self.doubted.find_behind(&self.shared, now, &mut self.phase, actions);
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
            | Input::SnapshotsDeleted(..)
            | Input::EventsDeleted(..)
            | Input::Skip(..)
            | Input::ReminderFound(..)
            | Input::ReactionsRead(..)
            | Input::AsynchronousDone(..)
            | Input::BesideDone(..)) => self.result(now, input, actions),
        }
    }

    fn queue(&mut self, queued: Queued<E::Command>) {
        match self.phase.circle(&self.shared, &queued.claim) {
            None => self.inbox.push(queued),
            Some(reason) => queued.refuse(reason),
        }
    }

    /// Takes a result of I/O. A result of another generation is dropped.
    fn result(&mut self, now: Now, input: Input<E>, actions: &mut Vec<Action<E>>) {
        if input.generation() != Some(self.shared.generation) {
            let why = "the entity has started again, or ended".to_owned();
            return input.refuse(ReplyError::Unavailable(why));
        }
        let shared = &self.shared;
        let outcome = match &mut self.phase {
            Phase::Recovering(recovery) => match recovery.take(shared, now, input, actions) {
                Ok(true) => return self.recovered(now, actions),
                Ok(false) => Ok(()),
                Err(failure) => {
                    recovery.signal_failed(shared, failure.text());
                    Err(failure)
                }
            },
            Phase::Running(running) => {
                let outcome = running.take(shared, now, input, &mut self.inbox, actions);
                if running.durable() > self.durable_ever {
                    self.durable_ever = running.durable();
                    self.restarts.stored();
                }
                outcome
            }
            phase @ (Phase::Permit | Phase::Backoff { .. } | Phase::Stopped) => {
                panic!("`{}`: `{}` in phase `{}`", shared.id, input.name(), phase.name())
            }
        };
        self.settle(now, outcome, actions);
    }

    fn start(&mut self, actions: &mut Vec<Action<E>>) {
        let (id, phase) = (&self.shared.id, self.phase.name());
        let is_new = matches!(self.phase, Phase::Permit) && self.shared.generation == 0;
        assert!(is_new, "`{id}`: `Start` a second time, in phase `{phase}`");
        self.begin(actions);
    }

    fn begin(&mut self, actions: &mut Vec<Action<E>>) {
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

    /// Gives the permit back that was kept for the snapshot of a recovery.
    fn release_permit(&mut self, actions: &mut Vec<Action<E>>) {
        if std::mem::take(&mut self.keeps_permit) {
            actions.push(Action::ReleasePermit);
        }
    }

    fn recovered(&mut self, now: Now, actions: &mut Vec<Action<E>>) {
        self.keeps_permit = true;
        let Phase::Recovering(recovery) = std::mem::replace(&mut self.phase, Phase::Stopped) else {
            panic!("recovered without recovery");
        };
        let recovered = match recovery.finish().with_all(&self.shared, self.durable_ever) {
            Ok(recovered) => recovered,
            Err(reason) => return self.end(StopReason::Failed(reason), actions),
        };
        let durable = recovered.applied.newest;
        EntityCounters::add(&self.shared.counters.recoveries, 1);
        self.durable_ever = durable;
        self.restarts.recovered(now.instant);
        let holding = std::mem::take(&mut self.away.holding);
        let mut running = Running::begin(&self.shared, now, recovered, holding, actions);
        running.reopen(&self.shared, &self.inbox);
        self.phase = Phase::Running(Box::new(running));
        self.doubt(now, Vec::new(), actions);
        let arrivals = self.away.take_arrivals(&self.shared, now.instant);
        self.arrived(now, arrivals);
        for news in std::mem::take(&mut self.away.news).into_all() {
            self.heard(news);
        }
        self.doubted.find_behind(&self.shared, now, &mut self.phase, actions);
    }

    fn arrived(&mut self, now: Now, events: Vec<StoredEvent>) {
        match &mut self.phase {
            // events that come too late are read from the journal when the entity starts again
            Phase::Running(_) if self.stopping => {}
            Phase::Running(running) if !running.is_spoilt() => {
                running.arrived(&self.shared, now, events);
            }
            Phase::Running(_) | Phase::Permit | Phase::Recovering(_) | Phase::Backoff { .. } => {
                self.away.arrived(&self.shared, now.instant, events);
            }
            Phase::Stopped => {}
        }
    }

    /// Takes the row of a reminder. An entity that stops takes none: it comes again.
    fn reminder_due(&mut self, row: Box<ReminderRow>, slot: Slot) {
        if !self.stopping && !matches!(self.phase, Phase::Stopped) {
            self.inbox.push_reminder(row, slot);
        }
    }

    fn heard(&mut self, news: PeerHas) {
        match &mut self.phase {
            Phase::Running(running) => running.heard(&self.shared, news),
            Phase::Permit | Phase::Recovering(_) | Phase::Backoff { .. } => self.away.heard(news),
            Phase::Stopped => {}
        }
    }

    /// Adds doubted replicas, and asks all of them before the next command.
    fn doubt(&mut self, now: Now, replicas: Vec<ReplicaId>, actions: &mut Vec<Action<E>>) {
        self.doubted.add(replicas, true);
        if let Phase::Running(running) = &mut self.phase {
            self.doubted.ask(&self.shared, now, running, actions);
        }
    }

    fn wake(&mut self, now: Now, actions: &mut Vec<Action<E>>) {
        if let Phase::Running(running) = &mut self.phase
            && !self.stopping
        {
            running.wake(now, &mut self.inbox);
        }
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
        self.inbox.forget_timers();
        if matches!(self.phase, Phase::Backoff { .. }) {
            self.end(StopReason::Drained, actions);
        }
    }

    /// Does everything that can be done now.
    fn drive(&mut self, now: Now, actions: &mut Vec<Action<E>>, goes_on: &dyn Fn() -> bool) {
        if !self.phase.running().is_some_and(Running::saves_snapshot) {
            self.release_permit(actions);
        }
        self.doubted.find_behind(&self.shared, now, &mut self.phase, actions);
        let Phase::Running(running) = &mut self.phase else { return };
        let refusing = (now, self.stopping);
        self.doubted.reclaim(&self.shared, running, refusing, &mut self.inbox, actions);
        let has_more = running.work(&self.shared, (now, goes_on), &mut self.inbox, actions);
        if has_more && !self.goes_on {
            self.goes_on = true;
            actions.push(Action::GoOn);
        }
        if self.stopping {
            self.inbox.stop_waiting(&self.shared, running.seen());
        } else if !running.is_spoilt() {
            running.pull(&self.shared, now, &self.inbox, actions);
        }
        if !running.is_idle() {
            return;
        }
        if self.stopping && self.inbox.is_empty() && !running.has_beside() {
            return self.end(StopReason::Drained, actions);
        }
        if let Some(reason) = running.take_spoilt() {
            self.start_over(&reason, actions);
        }
    }

    fn settle(&mut self, now: Now, outcome: Result<(), Failure>, actions: &mut Vec<Action<E>>) {
        match outcome {
            Ok(()) => {}
            Err(Failure::Restart { reason, answer }) => self.reread(now, &reason, &answer, actions),
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

    /// Reads a state again that application code has spoilt. Every earlier command is answered and
    /// nothing is lost, so the entity begins at once.
    fn start_over(&mut self, reason: &str, actions: &mut Vec<Action<E>>) {
        tracing::warn!(id = %self.shared.id, %reason, "entity reads its state again");
        EntityCounters::add(&self.shared.counters.restarts, 1);
        self.signal_end(&Signal::PreRestart(reason.to_owned()));
        self.leave_phase(&ReplyError::Unavailable(reason.to_owned()), actions);
        self.begin(actions);
    }

    /// Forgets everything that is not in the journal, and reads the journal again after a wait.
    fn reread(
        &mut self,
        now: Now,
        reason: &str,
        answer: &ReplyError,
        actions: &mut Vec<Action<E>>,
    ) {
        let wait = self.restarts.failed(now.instant, &self.shared.settings);
        let attempt = self.restarts.count();
        tracing::warn!(id = %self.shared.id, %reason, ?wait, attempt, "entity restarts");
        EntityCounters::add(&self.shared.counters.restarts, 1);
        let signal = Signal::PreRestart(reason.to_owned());
        self.signal_end(if self.stopping { &Signal::PostStop } else { &signal });
        self.leave_phase(answer, actions);
        if self.stopping {
            return self.end(StopReason::Drained, actions);
        }
        self.phase = Phase::Backoff { until: now.instant + wait };
        actions.push(Action::WakeAfter(wait));
    }

    /// Tells the behaviour of an entity at work that this life in memory ends.
    fn signal_end(&mut self, signal: &Signal) {
        if let Phase::Running(running) = &mut self.phase {
            running.signal_end(&self.shared, signal);
        }
    }

    /// Leaves the phase, and begins the next generation: results that are under way are stale.
    fn leave_phase(&mut self, answer: &ReplyError, actions: &mut Vec<Action<E>>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Stopped);
        if let Some(ended) = phase.leave(&self.shared, answer, actions) {
            self.append_outstanding |= ended.is_appending;
            if ended.has_asynchronous {
                actions.push(Action::DropAsynchronous);
            }
            // the journal loop, which told the news, waits for the answer
            (self.away.news, self.away.holding) = (ended.news, ended.holding);
        }
        self.release_permit(actions);
        self.inbox.forget_timers();
        self.inbox.forget_fired(answer);
        self.shared.generation += 1;
    }

    fn end(&mut self, reason: StopReason, actions: &mut Vec<Action<E>>) {
        let why = reason.why();
        self.signal_end(&Signal::PostStop);
        self.leave_phase(&ReplyError::Stopped(why.clone()), actions);
        // no handler has stored events of these commands, but a future may have made one of them
        self.inbox.refuse_all(&ReplyError::NotHere(why));
        actions.push(Action::Stopped(reason));
    }

    /// Asserts the invariants of the engine and of its parts.
    pub fn check(&self) {
        self.phase.check(&self.shared);
        self.inbox.check(&self.shared.settings);
        self.away.check(&self.shared.settings);
        self.doubted.check();
        if let Some(running) = self.phase.running() {
            assert_eq!(running.durable(), self.durable_ever, "{}", self.shared.id);
        }
    }
}

impl<E: EventSourced> Drop for Engine<E> {
    /// Drops the application's values one by one, under [`antiphon_base::guard`]; askers learn the
    /// known effect of their commands.
    fn drop(&mut self) {
        self.end(StopReason::Killed, &mut Vec::new());
    }
}
