//! Several replicas of one entity, each with a journal in memory. I/O waits in a queue until the
//! test runs it, so that a test decides the order of events.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock, Timestamp};

use super::log::{Command, Line, Log};
use crate::entity::engine::{Action, Engine, Input, Now, Queued};
use crate::entity::surroundings::{Address, Kin, Surroundings};
use crate::entity::{
    EntityCounters, EntitySettings, EventSourced, Extensions, HeldEvent, PeerHas, StopReason,
};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{ReplicaId, ReplicationId};
use crate::reply::{PendingReply, ReplyTo, reply_channel};
use crate::shape::ShapeBook;
use crate::store::{Append, Limits, ReminderRow, ReplayPage, Snapshot};

pub(super) struct Replica {
    pub(super) engine: Engine<Log>,
    pub(super) counters: Arc<EntityCounters>,
    pub(super) journal: Vec<StoredEvent>,
    pub(super) snapshot: Option<Snapshot>,
    /// Actions of I/O that have not been run.
    pub(super) held: VecDeque<Action<Log>>,
    pub(super) caught_up: Vec<(String, u64)>,
    pub(super) stopped: Option<StopReason>,
    pub(super) published: Vec<StoredEvent>,
    pub(super) append_count: usize,
    /// Reads of journals, the own one and others.
    pub(super) read_count: usize,
    pub(super) dropped_futures: usize,
    /// The times of `WakeForTimers`.
    pub(super) wakes: Vec<Duration>,
    pub(super) went_back: usize,
    pub(super) reclaimed: usize,
    pub(super) forked: Vec<u64>,
    pub(super) voided: Vec<SequenceNr>,
    /// The calls to the host about events that are held back.
    pub(super) held_back: Vec<(String, u64, HeldEvent)>,
    /// The rows of reminders.
    pub(super) rows: BTreeSet<ReminderRow>,
    /// The events that an operator wants skipped: origins and numbers.
    pub(super) skips: Vec<(&'static str, u64)>,
    pub(super) deleted_snapshots: SequenceNr,
    pub(super) deleted: SequenceNr,
    id: ReplicationId,
}

impl Replica {
    /// The highest number of the journal.
    fn highest(&self) -> SequenceNr {
        let last = self.journal.last().map_or(SequenceNr::ZERO, |event| event.sequence_nr);
        last.max(self.deleted)
    }
}

impl Replica {
    fn append(&mut self, append: Append) {
        append.check().unwrap();
        assert_eq!(append.expected, self.highest(), "{}", self.id);
        self.append_count += 1;
        self.journal.extend(append.events);
    }
}

/// The I/O that runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// All I/O runs at once.
    Flow,
    /// I/O waits for [`World::io`].
    Hold,
}

pub(super) struct World {
    pub(super) replicas: BTreeMap<&'static str, Replica>,
    pub(super) settings: EntitySettings,
    /// The limits of the journals.
    pub(super) limits: Limits,
    /// The shapes that the places have.
    pub(super) shapes: Option<ShapeBook>,
    pub(super) mode: Mode,
    pub(super) wall: u64,
    /// True when own events go to the other replicas at once.
    pub(super) direct: bool,
    /// True when a page of a journal comes with the journal's highest number.
    pub(super) tells_highest: bool,
    elapsed: Duration,
    start: tokio::time::Instant,
}

impl World {
    pub(super) fn new(names: &[&'static str]) -> Self {
        Self::with(names, EntitySettings { pull_at_start: false, ..EntitySettings::default() })
    }

    pub(super) fn with(names: &[&'static str], settings: EntitySettings) -> Self {
        let mut world = Self {
            replicas: BTreeMap::new(),
            settings,
            limits: Limits::default(),
            shapes: None,
            mode: Mode::Flow,
            wall: 1_000_000,
            direct: true,
            tells_highest: false,
            elapsed: Duration::ZERO,
            start: SystemClock.now(),
        };
        for name in names {
            let id = ReplicationId::new("log", "l-1", replica_id(name)).unwrap();
            let replica = Replica {
                engine: world.engine(names, &id, Arc::default(), Arc::default()),
                counters: Arc::default(),
                journal: Vec::new(),
                snapshot: None,
                held: VecDeque::new(),
                caught_up: Vec::new(),
                stopped: None,
                published: Vec::new(),
                append_count: 0,
                read_count: 0,
                dropped_futures: 0,
                wakes: Vec::new(),
                went_back: 0,
                forked: Vec::new(),
                reclaimed: 0,
                voided: Vec::new(),
                held_back: Vec::new(),
                rows: BTreeSet::new(),
                skips: Vec::new(),
                deleted_snapshots: SequenceNr::ZERO,
                deleted: SequenceNr::ZERO,
                id,
            };
            world.replicas.insert(name, replica);
        }
        for name in names {
            world.restart(name);
        }
        world
    }

    fn engine(
        &self,
        names: &[&'static str],
        id: &ReplicationId,
        log: Arc<Log>,
        counters: Arc<EntityCounters>,
    ) -> Engine<Log> {
        let replicas: Vec<_> = names.iter().map(|name| replica_id(name)).collect();
        let settings = Arc::new(self.settings.clone());
        let surroundings = nowhere::<Log>(id.clone(), replicas.into(), counters);
        let engine = Engine::new(log, surroundings, settings);
        engine.with_limits(self.limits).with_shapes(self.shapes.clone())
    }

    /// Kills the engine, with all that it had under way, and starts another one.
    pub(super) fn restart(&mut self, name: &'static str) {
        self.restart_as(name, Log::default());
    }

    pub(super) fn restart_as(&mut self, name: &'static str, log: Log) {
        self.restart_with(name, Arc::new(log));
    }

    pub(super) fn restart_with(&mut self, name: &'static str, log: Arc<Log>) {
        let names: Vec<_> = self.replicas.keys().copied().collect();
        let replica = self.replica(name);
        replica.held.clear();
        replica.stopped = None;
        let (id, counters) = (replica.id.clone(), replica.counters.clone());
        self.replica(name).engine = self.engine(&names, &id, log, counters);
        self.feed(name, Input::Start);
    }

    pub(super) fn replica(&mut self, name: &str) -> &mut Replica {
        self.replicas.get_mut(name).unwrap()
    }

    pub(super) fn now(&self) -> Now {
        Now { instant: self.start + self.elapsed, wall: Timestamp::from_micros(self.wall) }
    }

    pub(super) fn feed(&mut self, name: &'static str, input: Input<Log>) {
        self.wall += 1;
        let now = self.now();
        let actions = self.replica(name).engine.step(now, input);
        for action in actions {
            self.take(name, action);
        }
    }

    fn take(&mut self, name: &'static str, action: Action<Log>) {
        let direct = self.direct;
        match action {
            Action::Release(releases) => {
                releases.into_iter().for_each(crate::entity::engine::Release::release);
            }
            Action::CaughtUp(replica, highest) => {
                self.replica(name).caught_up.push((replica.to_string(), highest.value()));
            }
            Action::Held(replica, highest, held) => {
                let told = (replica.to_string(), highest.value(), held);
                self.replica(name).held_back.push(told);
            }
            Action::Stopped(reason) => self.replica(name).stopped = Some(reason),
            Action::Publish(events) => {
                self.replica(name).published.extend(events.clone());
                let others: Vec<_> =
                    self.replicas.keys().copied().filter(|other| *other != name).collect();
                for other in others.into_iter().filter(|_| direct) {
                    self.feed(other, Input::Replicated(events.clone()));
                }
            }
            Action::WentBack => self.replica(name).went_back += 1,
            Action::Forked(number) => self.replica(name).forked.push(number),
            Action::Reclaimed => self.replica(name).reclaimed += 1,
            Action::ReleasePermit | Action::Fenced(_) | Action::Received(_) => {}
            Action::DropAsynchronous => self.replica(name).dropped_futures += 1,
            Action::WakeForTimers(time) => self.replica(name).wakes.push(time),
            Action::Passivate => self.feed(name, Input::Stop),
            action => {
                self.replica(name).held.push_back(action);
                if self.mode == Mode::Flow {
                    self.io(name);
                }
            }
        }
    }

    /// Runs the I/O that waits, and the I/O that follows from it.
    pub(super) fn io(&mut self, name: &'static str) {
        while self.io_once(name) {}
    }

    pub(super) fn io_once(&mut self, name: &'static str) -> bool {
        let Some(action) = self.replica(name).held.pop_front() else { return false };
        if let Some(input) = self.run(name, action) {
            self.feed(name, input);
        }
        true
    }

    fn run(&mut self, name: &'static str, action: Action<Log>) -> Option<Input<Log>> {
        let replica = self.replicas.get_mut(name).unwrap();
        match action {
            Action::RequestPermit(generation) => Some(Input::PermitGranted(generation)),
            Action::LoadSnapshot(generation, last) => {
                let snapshot = replica.snapshot.clone().filter(|s| s.sequence_nr <= last);
                Some(Input::SnapshotLoaded(generation, Ok(snapshot.map(Box::new))))
            }
            Action::FindHighest(generation) => {
                replica.read_count += 1;
                Some(Input::HighestFound(generation, Ok(replica.highest())))
            }
            Action::Replay(generation, first) => {
                replica.read_count += 1;
                let events = from(&replica.journal, first);
                let highest = self.tells_highest.then(|| replica.highest());
                Some(Input::Replayed(generation, Ok(ReplayPage { events, highest })))
            }
            Action::Append(generation, append, rows) => {
                replica.rows.extend(rows);
                append.check_size(&self.limits).unwrap();
                replica.append(append);
                Some(Input::Appended(generation, Ok(())))
            }
            Action::ReadReactions(generation, first) => {
                Some(Input::ReactionsRead(generation, Ok(from(&replica.journal, first).into())))
            }
            Action::Pull(generation, other, after) => {
                replica.read_count += 1;
                let theirs = &self.replicas[other.as_str()];
                let mut events = from(&theirs.journal, after.next());
                events.truncate(self.settings.pull_events_max);
                let highest = self.tells_highest.then(|| theirs.highest());
                Some(Input::Pulled(generation, other, Ok(ReplayPage { events, highest })))
            }
            Action::SaveSnapshot(generation, snapshot) => {
                let (number, metadata) = (snapshot.sequence_nr, snapshot.metadata.clone());
                replica.snapshot = Some(*snapshot);
                Some(Input::SnapshotSaved(generation, number, Ok(metadata)))
            }
            Action::VoidSnapshots(generation, numbers) => {
                let snapshot = replica.snapshot.take_if(|s| numbers.contains(&s.sequence_nr));
                replica.voided.extend(snapshot.map(|snapshot| snapshot.sequence_nr));
                Some(Input::SnapshotsVoided(generation, Ok(())))
            }
            Action::DeleteEvents(generation, last) => {
                replica.deleted = last;
                replica.journal.retain(|event| event.sequence_nr > last);
                Some(Input::EventsDeleted(generation, last, Ok(())))
            }
            Action::RunAsynchronous(generation, future, _) => {
                Some(Input::AsynchronousDone(generation, Ok(ready(future))))
            }
            Action::RunBeside(generation, number, future) => {
                Some(Input::BesideDone(generation, number, future.map(ready)))
            }
            Action::AskSkip(generation, origin, number) => replica
                .skips
                .contains(&(name_of(&origin), number))
                .then_some(Input::Skip(generation, origin, number)),
            Action::DeleteSnapshots(generation, last) => {
                replica.deleted_snapshots = last;
                Some(Input::SnapshotsDeleted(generation, last, Ok(())))
            }
            action @ (Action::FindReminder(..) | Action::ChangeReminders(_)) => {
                super::rows::run(&mut replica.rows, action)
            }
            Action::WakeAfter(_) => None,
            Action::GoOn => Some(Input::GoOn),
            other => panic!("{other:?} is no I/O"),
        }
    }

    /// Answers the oldest held action with an error instead of running it.
    pub(super) fn fail_io(&mut self, name: &'static str, error: crate::Error) {
        let action = self.replica(name).held.pop_front().expect("some I/O is held");
        let input = match action {
            Action::Append(generation, ..) => Input::Appended(generation, Err(error)),
            Action::Pull(generation, other, _) => Input::Pulled(generation, other, Err(error)),
            Action::Replay(generation, _) => Input::Replayed(generation, Err(error)),
            Action::LoadSnapshot(generation, _) => Input::SnapshotLoaded(generation, Err(error)),
            Action::FindHighest(generation) => Input::HighestFound(generation, Err(error)),
            Action::VoidSnapshots(generation, _) => Input::SnapshotsVoided(generation, Err(error)),
            Action::FindReminder(generation, row) => {
                Input::ReminderFound(generation, row, Err(error))
            }
            Action::ReadReactions(generation, _) => Input::ReactionsRead(generation, Err(error)),
            Action::SaveSnapshot(generation, snapshot) => {
                Input::SnapshotSaved(generation, snapshot.sequence_nr, Err(error))
            }
            Action::DeleteSnapshots(generation, last) => {
                Input::SnapshotsDeleted(generation, last, Err(error))
            }
            Action::DeleteEvents(generation, last) => {
                Input::EventsDeleted(generation, last, Err(error))
            }
            other => panic!("{other:?} cannot fail"),
        };
        self.feed(name, input);
    }

    /// Lets time pass and wakes every replica.
    pub(super) fn pass(&mut self, time: Duration) {
        self.elapsed += time;
        let names: Vec<_> = self.replicas.keys().copied().collect();
        for name in names {
            self.feed(name, Input::Wake);
        }
    }

    pub(super) fn command(
        &mut self,
        name: &'static str,
        command: impl FnOnce(ReplyTo<usize>) -> Command,
    ) -> PendingReply<usize> {
        let (reply_to, reply) = reply_channel();
        let queued = Queued::unlimited(command(reply_to));
        self.feed(name, Input::Command(queued));
        reply
    }

    pub(super) fn add(&mut self, name: &'static str, text: &'static str) -> PendingReply<usize> {
        self.command(name, |reply_to| Command::Add(vec![text], reply_to))
    }

    pub(super) fn just(&mut self, name: &'static str, command: Command) {
        self.feed(name, Input::Command(Queued::unlimited(command)));
    }

    /// Tells `name` which events the journal of `other` has, as the journal loop does.
    pub(super) fn news(&mut self, name: &'static str, other: &'static str) {
        let journal = &self.replicas[other].journal;
        let Some(last) = journal.last() else { return };
        let mut seen = crate::version::VersionVector::new();
        for event in journal {
            seen.merge(&event.meta.version);
        }
        let read_to = SequenceNr::ZERO;
        let news = PeerHas { replica: replica_id(other), highest: last.sequence_nr, seen, read_to };
        self.feed(name, Input::PeerHas(Box::new(news)));
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let state = self.replicas[name].engine.state().expect("at work");
        state.iter().map(|line| line.text.clone()).collect()
    }

    pub(super) fn lines(&self, name: &str) -> Vec<Line> {
        self.replicas[name].engine.state().expect("at work").clone()
    }

    pub(super) fn assert_converged(&self) {
        let texts = |name: &str| {
            let mut texts = self.texts(name);
            texts.sort();
            texts
        };
        let all: Vec<_> = self.replicas.keys().map(|name| texts(name)).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
        let versions: Vec<_> = self.replicas.values().map(|r| r.engine.seen().cloned()).collect();
        assert!(versions.windows(2).all(|pair| pair[0] == pair[1]), "{versions:?}");
    }
}

/// The value of a future that is ready.
fn ready<T>(mut future: std::pin::Pin<Box<dyn Future<Output = T> + Send>>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the tests' futures are ready"),
    }
}

/// The surroundings of an engine by itself.
pub(super) fn nowhere<E: EventSourced>(
    id: ReplicationId,
    replicas: Arc<[ReplicaId]>,
    counters: Arc<EntityCounters>,
) -> Arc<Surroundings> {
    let settings = EntitySettings { mailbox_max: 1, ..EntitySettings::default() };
    let kin = Kin::of::<E>(replicas, Extensions::default(), &settings, counters);
    Surroundings::new(id, kin, Address::Nowhere)
}

fn from(journal: &[StoredEvent], first: SequenceNr) -> Vec<StoredEvent> {
    journal.iter().filter(|event| event.sequence_nr >= first).cloned().collect()
}

fn name_of(replica: &ReplicaId) -> &'static str {
    ["A", "B", "C"].into_iter().find(|name| *name == replica.as_str()).unwrap_or("")
}

pub(super) fn replica_id(name: &str) -> ReplicaId {
    if name.is_empty() { ReplicaId::empty() } else { ReplicaId::new(name).unwrap() }
}

pub(super) fn unavailable() -> crate::Error {
    crate::Error::unavailable("the test wants it")
}
