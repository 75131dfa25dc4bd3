//! Several replicas of one entity, each with a journal in memory. I/O waits in a queue until the test runs it, so that a test
//! decides what happens before what.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::entity::engine::{Action, Engine, Input, Now, Queued, Slot};
use crate::entity::{
    CommandContext, Effect, EntityCounters, EntitySettings, EventContext, EventSourced, PeerHas,
    StopReason,
};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{ReplicaId, ReplicationId};
use crate::reply::{PendingReply, ReplyTo, reply_channel};
use crate::store::{Limits, Snapshot};
use crate::time::{Clock, SystemClock, Timestamp};

/// A list of what happened, with the flags of each event as they were seen.
#[derive(Debug)]
pub(super) enum Command {
    Add(Vec<&'static str>, ReplyTo<usize>),
    Read(ReplyTo<usize>),
    Stash(Vec<&'static str>, ReplyTo<usize>),
    Unstash,
    Later(ReplyTo<usize>),
    LaterDone(ReplyTo<usize>),
    Panic,
    Stop,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) origin: String,
    pub(super) concurrent: bool,
    pub(super) time: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) poison: Option<&'static str>,
}

impl EventSourced for Log {
    type Command = Command;
    type Event = String;
    type State = Vec<Line>;

    fn on_command(&self, _: &CommandContext, state: &Vec<Line>, command: Command) -> Effect<Self> {
        let is_open = state.iter().any(|line| line.text == "open");
        match command {
            Command::Add(texts, reply_to) => {
                Effect::persist_all(texts.into_iter().map(str::to_owned))
                    .then_reply(reply_to, Vec::len)
            }
            Command::Stash(texts, reply_to) if is_open => {
                Effect::persist_all(texts.into_iter().map(str::to_owned))
                    .then_reply(reply_to, Vec::len)
            }
            command @ Command::Stash(..) => Effect::stash(command),
            Command::Unstash => Effect::persist("open".to_owned()).then_unstash_all(),
            Command::Read(reply_to) => Effect::reply(reply_to, state.len()),
            Command::Later(reply_to) => {
                Effect::asynchronous(async move { Command::LaterDone(reply_to) })
            }
            Command::LaterDone(reply_to) => {
                Effect::persist("later".to_owned()).then_reply(reply_to, Vec::len)
            }
            Command::Panic => panic!("the test wants it"),
            Command::Stop => Effect::none().then_stop(),
        }
    }

    fn on_event(&self, context: &EventContext, state: &mut Vec<Line>, event: &String) {
        assert!(self.poison != Some(event.as_str()), "the test wants it");
        state.push(Line {
            text: event.clone(),
            origin: context.origin().to_string(),
            concurrent: context.concurrent(),
            time: context.current_time(),
        });
    }
}

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
    deleted: SequenceNr,
    id: ReplicationId,
}

/// What the test lets happen by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// All I/O at once.
    Flow,
    /// I/O waits for [`World::io`].
    Hold,
}

pub(super) struct World {
    pub(super) replicas: BTreeMap<&'static str, Replica>,
    pub(super) settings: EntitySettings,
    /// The limits of the journals.
    pub(super) limits: Limits,
    pub(super) mode: Mode,
    pub(super) wall: u64,
    /// Whether own events go to the other replicas at once.
    pub(super) direct: bool,
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
            mode: Mode::Flow,
            wall: 1_000_000,
            direct: true,
            elapsed: Duration::ZERO,
            start: SystemClock.now(),
        };
        for name in names {
            let id = ReplicationId::new("log", "l-1", replica_id(name)).unwrap();
            let replica = Replica {
                engine: world.engine(names, &id, Log::default(), Arc::default()),
                counters: Arc::default(),
                journal: Vec::new(),
                snapshot: None,
                held: VecDeque::new(),
                caught_up: Vec::new(),
                stopped: None,
                published: Vec::new(),
                append_count: 0,
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
        log: Log,
        counters: Arc<EntityCounters>,
    ) -> Engine<Log> {
        let replicas: Vec<_> = names.iter().map(|name| replica_id(name)).collect();
        let settings = Arc::new(self.settings.clone());
        let engine = Engine::new(Arc::new(log), id.clone(), replicas.into(), settings, counters);
        engine.with_limits(self.limits)
    }

    /// Kills the engine, with all that it had under way, and starts another one.
    pub(super) fn restart(&mut self, name: &'static str) {
        self.restart_as(name, Log::default());
    }

    pub(super) fn restart_as(&mut self, name: &'static str, log: Log) {
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

    pub(super) fn feed(&mut self, name: &'static str, input: Input<Log>) {
        self.wall += 1;
        let now =
            Now { instant: self.start + self.elapsed, wall: Timestamp::from_micros(self.wall) };
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
            Action::Stopped(reason) => self.replica(name).stopped = Some(reason),
            Action::Publish(events) => {
                self.replica(name).published.extend(events.clone());
                let others: Vec<_> =
                    self.replicas.keys().copied().filter(|other| *other != name).collect();
                for other in others.into_iter().filter(|_| direct) {
                    self.feed(other, Input::Replicated(events.clone()));
                }
            }
            Action::ReleasePermit | Action::Fenced(_) | Action::Received(_) => {}
            Action::Passivate => self.feed(name, Input::Stop),
            action => {
                self.replica(name).held.push_back(action);
                if self.mode == Mode::Flow {
                    self.io(name);
                }
            }
        }
    }

    /// Runs the I/O that waits, and what follows from it.
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
                Some(Input::SnapshotLoaded(generation, Ok(snapshot)))
            }
            Action::FindHighest(generation) => {
                let last = replica.journal.last().map_or(SequenceNr::ZERO, |e| e.sequence_nr);
                Some(Input::HighestFound(generation, Ok(last.max(replica.deleted))))
            }
            Action::Replay(generation, first) => {
                Some(Input::Replayed(generation, Ok(from(&replica.journal, first))))
            }
            Action::Append(generation, append) => {
                append.check().unwrap();
                append.check_size(&self.limits).unwrap();
                let last = replica.journal.last().map_or(SequenceNr::ZERO, |e| e.sequence_nr);
                let highest = last.max(replica.deleted);
                assert_eq!(append.expected, highest, "{name}");
                replica.append_count += 1;
                replica.journal.extend(append.events);
                Some(Input::Appended(generation, Ok(())))
            }
            Action::Pull(generation, other, after) => {
                let max = self.settings.pull_events_max;
                let mut events = from(&self.replicas[other.as_str()].journal, after.next());
                events.truncate(max);
                Some(Input::Pulled(generation, other, Ok(events)))
            }
            Action::SaveSnapshot(generation, snapshot) => {
                let number = snapshot.sequence_nr;
                replica.snapshot = Some(*snapshot);
                Some(Input::SnapshotSaved(generation, number, Ok(())))
            }
            Action::DeleteEvents(last) => {
                replica.deleted = last;
                replica.journal.retain(|event| event.sequence_nr > last);
                None
            }
            Action::RunAsynchronous(generation, mut future) => {
                let waker = std::task::Waker::noop();
                let mut context = std::task::Context::from_waker(waker);
                match future.as_mut().poll(&mut context) {
                    std::task::Poll::Ready(command) => {
                        Some(Input::AsynchronousDone(generation, command))
                    }
                    std::task::Poll::Pending => panic!("the tests' futures are ready"),
                }
            }
            Action::WakeAfter(_) | Action::DeleteSnapshots(_) => None,
            other => panic!("{other:?} is no I/O"),
        }
    }

    /// Answers the oldest held action with an error instead of running it.
    pub(super) fn fail_io(&mut self, name: &'static str, error: crate::Error) {
        let action = self.replica(name).held.pop_front().expect("some I/O is held");
        let input = match action {
            Action::Append(generation, _) => Input::Appended(generation, Err(error)),
            Action::Pull(generation, other, _) => Input::Pulled(generation, other, Err(error)),
            Action::Replay(generation, _) => Input::Replayed(generation, Err(error)),
            Action::LoadSnapshot(generation, _) => Input::SnapshotLoaded(generation, Err(error)),
            Action::FindHighest(generation) => Input::HighestFound(generation, Err(error)),
            Action::SaveSnapshot(generation, snapshot) => {
                Input::SnapshotSaved(generation, snapshot.sequence_nr, Err(error))
            }
            other => panic!("{other:?} cannot fail"),
        };
        self.feed(name, input);
    }

    /// Lets time pass and wakes everybody.
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
        let queued = Queued { command: command(reply_to), slot: Slot::default() };
        self.feed(name, Input::Command(queued));
        reply
    }

    pub(super) fn add(&mut self, name: &'static str, text: &'static str) -> PendingReply<usize> {
        self.command(name, |reply_to| Command::Add(vec![text], reply_to))
    }

    pub(super) fn just(&mut self, name: &'static str, command: Command) {
        self.feed(name, Input::Command(Queued { command, slot: Slot::default() }));
    }

    /// Tells `name` what the journal of `other` has, as the journal loop does.
    pub(super) fn news(&mut self, name: &'static str, other: &'static str) {
        let journal = &self.replicas[other].journal;
        let Some(last) = journal.last() else { return };
        let mut seen = crate::version::VersionVector::new();
        for event in journal {
            seen.merge(&event.meta.version);
        }
        let news = PeerHas { replica: replica_id(other), highest: last.sequence_nr, seen };
        self.feed(name, Input::PeerHas(news));
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

fn from(journal: &[StoredEvent], first: SequenceNr) -> Vec<StoredEvent> {
    journal.iter().filter(|event| event.sequence_nr >= first).cloned().collect()
}

pub(super) fn replica_id(name: &str) -> ReplicaId {
    if name.is_empty() { ReplicaId::empty() } else { ReplicaId::new(name).unwrap() }
}

pub(super) fn unavailable() -> crate::Error {
    crate::Error::unavailable("the test wants it")
}
