//! The engine of an entity under test, and the work that it asks for, done at once.

use std::collections::VecDeque;

use super::clock::ManualClock;
use super::codec;
use super::did::Did;
use super::entity_test::{EntityTest, OwnCommands};
use super::watched::Watched;
use crate::entity::engine::{Action, Engine, Input, Queued, Release};
use crate::entity::surroundings::{Address, Kin, Surroundings};
use crate::entity::{EventSourced, Extensions, StopReason};
use crate::event::SequenceNr;

/// Most inputs that follow from one input of the test.
const INPUTS_MAX: usize = 20_000;

impl<E: EventSourced> EntityTest<E> {
    /// An engine that has not begun, around the behaviour under test.
    fn new_engine(&self, own: &OwnCommands, extensions: Extensions) -> Engine<Watched<E>> {
        let watched = Watched {
            behaviour: self.behaviour.clone(),
            watch: self.watch.clone(),
            checks: self.checks.events,
            is_rehearsal: self.is_rehearsal,
        };
        let counters = self.watch.counters().clone();
        let kin = Kin::of::<E>(self.replicas.clone(), extensions, &self.settings, counters);
        let surroundings = Surroundings::new(self.id.clone(), kin, Address::Queue(own.clone()));
        Engine::new(watched.into(), surroundings, self.settings.clone())
    }

    /// Puts the entity into memory, unless it is there.
    #[track_caller]
    pub(super) fn start(&mut self) {
        if self.engine.is_none() {
            // the commands that an earlier life told itself ended with it
            self.own = OwnCommands::default();
            let mut engine = self.new_engine(&self.own, self.extensions.clone());
            engine = engine.with_limits(self.limits);
            self.engine = Some(engine);
            self.feed(Input::Start);
        }
    }

    /// Takes the entity out of memory at once, as a process that is killed.
    pub(super) fn leave(&mut self) {
        self.engine = None;
        self.clock.forget_wakes();
        self.futures.forget();
        self.own.lock().clear();
    }

    /// Gives the entity an input of the test, and begins a new list of effects.
    #[track_caller]
    pub(super) fn give(&mut self, input: Input<Watched<E>>) {
        self.watch.forget();
        self.start();
        self.feed(input);
    }

    /// Gives the entity an input, and all that follows from it at this time.
    #[track_caller]
    pub(super) fn feed(&mut self, input: Input<Watched<E>>) {
        let mut inputs = VecDeque::from([input]);
        for _ in 0..INPUTS_MAX {
            let Some(input) = inputs.pop_front() else {
                inputs.extend(self.futures.poll());
                inputs.extend(self.own_commands());
                if inputs.is_empty() {
                    return self.fail_with_faults();
                }
                continue;
            };
            let Some(engine) = &mut self.engine else {
                // the entity has ended; a result that comes later is of no use
                continue;
            };
            let now = self.clock.tick();
            for action in engine.step(now, input) {
                inputs.extend(self.run(action));
            }
            self.watch.settle();
            inputs.extend(self.own_commands());
        }
        panic!(
            "`{}` does not come to rest after {INPUTS_MAX} inputs: look for commands that it tells itself again and again, or that unstash each other",
            self.id
        );
    }

    /// The commands that the entity has told itself.
    fn own_commands(&mut self) -> Vec<Input<Watched<E>>> {
        let own = std::mem::take(&mut *self.own.lock());
        let each = own.into_iter().map(|command| {
            self.watch.did(Did::ToldItself);
            let command = command.downcast().expect("a command of this entity");
            Input::Command(Queued::unlimited(*command))
        });
        each.collect()
    }

    /// Fails the test when a value of the application is read as another one.
    #[track_caller]
    fn fail_with_faults(&mut self) {
        if self.checks.states
            && let Some(engine) = &self.engine
            && let Some(state) = engine.state()
            && let Some(seen) = engine.seen()
            && self.checked != seen.event_count()
        {
            self.checked = seen.event_count();
            if let Some(fault) = codec::state_fault(&*self.behaviour, state) {
                self.watch.fault(fault);
            }
        }
        let faults = self.watch.take_faults();
        assert!(faults.is_empty(), "`{}`: {}", self.id, faults.join("\n"));
    }

    /// Carries out a request of the engine. Returns its answer.
    fn run(&mut self, action: Action<Watched<E>>) -> Option<Input<Watched<E>>> {
        match action {
            Action::RequestPermit(generation) => Some(Input::PermitGranted(generation)),
            Action::Release(releases) => {
                releases.into_iter().for_each(Release::release);
                None
            }
            Action::Passivate => Some(Input::Stop),
            Action::GoOn => Some(Input::GoOn),
            Action::WakeAfter(time) | Action::WakeForTimers(time) => {
                self.clock.wake_after(time);
                None
            }
            Action::RunAsynchronous(generation, future, held_up) => {
                self.watch.did(Did::AsynchronousBegun);
                let deadline = self.clock.elapsed() + self.settings.asynchronous_timeout;
                self.futures.hold_up(&self.id, generation, future, held_up, deadline);
                None
            }
            Action::RunBeside(generation, number, Ok(future)) => {
                self.watch.did(Did::BesideBegun);
                let deadline = self.clock.elapsed() + self.settings.asynchronous_timeout;
                self.futures.beside(&self.id, (generation, number), future, deadline);
                None
            }
            Action::RunBeside(generation, number, Err(failure)) => {
                Some(Input::BesideDone(generation, number, Err(failure)))
            }
            Action::DropAsynchronous => {
                self.futures.forget();
                None
            }
            Action::Held(_, _, held) => {
                self.held = Some(held);
                None
            }
            Action::Stopped(reason) => {
                self.ended(reason);
                None
            }
            Action::ReleasePermit
            // the test delivers events, and nothing is read from the other replicas
            | Action::Pull(..)
            | Action::Publish(_)
            | Action::Durable(_)
            | Action::Received(_)
            | Action::CaughtUp(..)
            | Action::AskSkip(..)
            | Action::Fenced(_)
            | Action::WentBack
            | Action::Forked(_)
            | Action::Reclaimed => None,
            action @ (Action::LoadSnapshot(..)
            | Action::FindHighest(_)
            | Action::Replay(..)
            | Action::Append(..)
            | Action::SaveSnapshot(..)
            | Action::VoidSnapshots(..)
            | Action::DeleteSnapshots(..)
            | Action::DeleteEvents(..)
            | Action::FindReminder(..)
            | Action::ReadReactions(..)
            | Action::ChangeReminders(_)) => self.store(action),
        }
    }

    fn ended(&mut self, reason: StopReason) {
        self.watch.did(match reason {
            StopReason::Drained => Did::Passivated,
            StopReason::Killed => Did::Ended("it was killed".to_owned()),
            StopReason::Fenced(why) | StopReason::Failed(why) | StopReason::NotStarted(why) => {
                self.failure = Some(why.clone());
                Did::Ended(why)
            }
        });
        self.leave();
    }

    /// Carries out a request to the store. Returns its answer.
    fn store(&mut self, action: Action<Watched<E>>) -> Option<Input<Watched<E>>> {
        let store = &mut self.store;
        match action {
            Action::LoadSnapshot(generation, last) => {
                let snapshot = store.snapshot(last).map(Box::new);
                Some(Input::SnapshotLoaded(generation, Ok(snapshot)))
            }
            Action::FindHighest(generation) => {
                Some(Input::HighestFound(generation, Ok(store.highest())))
            }
            Action::Replay(generation, first) => {
                Some(Input::Replayed(generation, Ok(store.from(first).into())))
            }
            Action::ReadReactions(generation, first) => {
                Some(Input::ReactionsRead(generation, Ok(store.from(first).into())))
            }
            Action::Append(generation, append, rows) => {
                store.rows.extend(rows);
                store.append(&append);
                Some(Input::Appended(generation, Ok(())))
            }
            Action::SaveSnapshot(generation, snapshot) => {
                store.save(&snapshot);
                let number = snapshot.sequence_nr;
                Some(Input::SnapshotSaved(generation, number, Ok(snapshot.metadata)))
            }
            Action::VoidSnapshots(generation, numbers) => {
                store.void(&numbers);
                Some(Input::SnapshotsVoided(generation, Ok(())))
            }
            Action::DeleteSnapshots(generation, last) => {
                store.delete_snapshots(last);
                Some(Input::SnapshotsDeleted(generation, last, Ok(())))
            }
            Action::DeleteEvents(generation, last) => {
                store.delete_events(last);
                Some(Input::EventsDeleted(generation, last, Ok(())))
            }
            Action::FindReminder(generation, row) => {
                let is_there = store.rows.contains(&row);
                Some(Input::ReminderFound(generation, row, Ok(is_there)))
            }
            Action::ChangeReminders(changes) => {
                store.rows.extend(changes.put);
                store.rows.retain(|row| !changes.remove.contains(row));
                None
            }
            other @ (Action::RequestPermit(_)
            | Action::ReleasePermit
            | Action::Pull(..)
            | Action::Release(_)
            | Action::Publish(_)
            | Action::Received(_)
            | Action::CaughtUp(..)
            | Action::Held(..)
            | Action::AskSkip(..)
            | Action::Durable(_)
            | Action::RunAsynchronous(..)
            | Action::RunBeside(..)
            | Action::DropAsynchronous
            | Action::WakeAfter(_)
            | Action::WakeForTimers(_)
            | Action::GoOn
            | Action::Passivate
            | Action::WentBack
            | Action::Forked(_)
            | Action::Reclaimed
            | Action::Fenced(_)
            | Action::Stopped(_)) => panic!("{other:?} is no request to the store"),
        }
    }

    /// The number of the newest event in the journal.
    pub(super) fn highest(&self) -> SequenceNr {
        self.store.highest()
    }

    /// A copy of the store, its clock and its behaviour, to try something out: events are applied,
    /// and nothing else happens.
    pub(super) fn rehearsal(&self) -> Self {
        let mut copy = Self::of(self.behaviour.clone(), self.id.clone(), self.replicas.clone());
        copy.is_rehearsal = true;
        copy.settings = self.settings.clone();
        copy.extensions = self.extensions.clone();
        copy.store = self.store.clone();
        copy.checks = self.checks;
        copy.clock = ManualClock::new();
        copy.clock.follow(&self.clock);
        copy
    }
}
