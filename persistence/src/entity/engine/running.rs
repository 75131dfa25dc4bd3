//! An entity at work: its own stream, the other replicas, and its commands.

use super::commands::Commands;
use super::doubts::Doubts;
use super::failure::Failure;
use super::holding::Holding;
use super::inbox::{Inbox, Waiting};
use super::news::News;
use super::peers::Peers;
use super::recovery::Recovered;
use super::replication::Replication;
use super::shared::Shared;
use super::stream::Stream;
use super::timers::Timers;
use super::{Action, Input, Now, Queued, Slot, firing};
use crate::entity::{EntityCounters, EventSourced, PeerHas, Signal};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::reply::ReplyError;
use crate::store::SetReminder;
use crate::version::VersionVector;

/// Most commands that one step handles. The entity then reads its next messages: commands that
/// stash themselves and unstash each other would keep it from a stop or a kill otherwise.
const STEP_COMMANDS_MAX: usize = 1000;

/// An entity at work.
pub(super) struct Running<E: EventSourced> {
    stream: Stream<E>,
    replication: Replication,
    commands: Commands<E::Command>,
    timers: Timers<E::Command>,
}

impl<E: EventSourced> Running<E> {
    /// Begins to work after a recovery. Events that were held back before a restart are still held
    /// back.
    pub(super) fn begin(
        shared: &Shared<E>,
        now: Now,
        recovered: Recovered<E>,
        holding: Holding,
    ) -> Self {
        let Recovered { applied, positions, snapshot, is_behind } = recovered;
        let mut doubts = Doubts::default();
        if is_behind {
            doubts.found_behind();
        }
        let peers = Peers::new(shared, &positions);
        let mut stream = Stream::new(shared, applied, snapshot);
        holding.hold_again(&mut stream.applied.delivery);
        stream.applied.clock.tick(now.wall);
        stream.signal(shared, &Signal::RecoveryCompleted);
        firing::begin(shared, &mut stream);
        let replication = Replication { peers, holding, doubts };
        Self { stream, replication, commands: Commands::new(), timers: Timers::new() }
    }

    pub(super) fn state(&self) -> &E::State {
        &self.stream.applied.state
    }

    pub(super) fn seen(&self) -> &VersionVector {
        self.stream.applied.seen()
    }

    /// The reminders that are set.
    pub(super) fn reminders(&self) -> Vec<SetReminder> {
        self.stream.applied.reminders.all()
    }

    /// The number of the newest event.
    pub(super) fn newest(&self) -> SequenceNr {
        self.stream.applied.newest
    }

    /// The number of the newest event that is durable.
    pub(super) fn durable(&self) -> SequenceNr {
        self.stream.durable()
    }

    /// Returns whether `on_event` has panicked: the state is not read any more.
    pub(super) fn is_spoilt(&self) -> bool {
        self.stream.applied.is_spoilt()
    }

    /// The reason why the state must be read again, once nothing is under way.
    pub(super) fn take_spoilt(&mut self) -> Option<String> {
        self.stream.applied.take_spoilt()
    }

    /// Returns whether no future that holds up commands, append or action is under way.
    pub(super) fn is_idle(&self) -> bool {
        !self.commands.has_asynchronous() && self.stream.is_settled()
    }

    /// Returns whether a future holds up the commands.
    pub(super) fn is_held_up(&self) -> bool {
        self.commands.has_asynchronous()
    }

    /// Returns whether a future beside the commands is under way, or waits for the disk.
    pub(super) fn has_beside(&self) -> bool {
        self.commands.has_beside()
    }

    fn takes_commands(&self, shared: &Shared<E>) -> bool {
        !self.commands.has_asynchronous()
            && !self.replication.doubts.is_open()
            && !self.is_spoilt()
            && self.stream.has_room(shared)
            && (shared.settings.pipelined || self.stream.is_settled())
    }

    /// Takes a result of I/O of this generation.
    pub(super) fn take(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        input: Input<E>,
        inbox: &mut Inbox<E::Command>,
        actions: &mut Vec<Action<E>>,
    ) -> Result<(), Failure> {
        let Self { stream, replication, commands, timers: _ } = self;
        match input {
            Input::Appended(_, result) => return stream.appended(shared, result, actions),
            Input::Pulled(_, replica, result) => {
                replication.pulled(shared, now, stream, &replica, result);
            }
            Input::Skip(_, origin, number) => replication.skip_event(now, &origin, number),
            Input::SnapshotSaved(_, number, result) => {
                stream.snapshot_saved(shared, number, result, &replication.peers, actions);
            }
            Input::SnapshotsDeleted(_, last, result) => {
                stream.snapshots_deleted(shared, last, result);
            }
            Input::EventsDeleted(_, last, result) => stream.events_deleted(shared, last, result),
            Input::AsynchronousDone(_, result) => {
                match commands.asynchronous_done(shared, result) {
                    Some(queued) => inbox.push_front(queued),
                    None => firing::given_up(shared, stream),
                }
            }
            Input::ReminderFound(_, row, is_there) => {
                if firing::found(shared, stream, &row, is_there) {
                    inbox.push_reminder(row, Slot::default());
                }
            }
            Input::ReactionsRead(_, page) => firing::read(shared, stream, page),
            Input::BesideDone(_, number, outcome) => {
                if let Some(queued) = commands.beside_done(shared, number, outcome) {
                    inbox.push(queued);
                }
            }
            input @ (Input::SnapshotLoaded(..)
            | Input::Replayed(..)
            | Input::HighestFound(..)
            | Input::SnapshotsVoided(..)
            | Input::PermitGranted(_)
            | Input::Start
            | Input::Doubted(_)
            | Input::Vouched(_)
            | Input::Command(_)
            | Input::ReminderDue(..)
            | Input::Replicated(_)
            | Input::PeerHas(_)
            | Input::Wake
            | Input::GoOn
            | Input::Stop
            | Input::Kill) => {
                panic!("`{}`: `{}` is no result for an entity at work", shared.id, input.name())
            }
        }
        Ok(())
    }

    /// Takes events that came by direct replication.
    pub(super) fn arrived(&mut self, shared: &Shared<E>, now: Now, events: Vec<StoredEvent>) {
        if firing::has_room(shared, &mut self.stream) {
            return self.replication.arrived(shared, now, &mut self.stream, events);
        }
        // they are read from the journals when there is room again
        EntityCounters::add(&shared.counters.arrival_overflows, events.len());
        self.replication.peers.look_again();
    }

    pub(super) fn heard(&mut self, news: PeerHas) {
        self.replication.peers.heard(news);
    }

    /// Handles the commands that can be handled now, and begins the appends. Returns whether more
    /// commands can be handled in the next step.
    pub(super) fn work(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        inbox: &mut Inbox<E::Command>,
        actions: &mut Vec<Action<E>>,
    ) -> bool {
        // actions whose events became durable are let out first
        self.stream.persist(shared, actions);
        for _ in 0..STEP_COMMANDS_MAX {
            if !self.takes_commands(shared) {
                break;
            }
            if let Some(event) = firing::next_reaction(shared, &mut self.stream, actions) {
                let around = (&mut self.stream, &self.replication.peers);
                self.commands.react(shared, now, around, &event, (inbox, &mut self.timers));
                continue;
            }
            let Some(waiting) = inbox.pop() else { break };
            let Self { stream, replication, commands, timers } = self;
            let queued = match waiting {
                Waiting::Command(queued) => {
                    timers.received(now.instant);
                    queued
                }
                Waiting::Timer(ticket) => {
                    let Some(command) = timers.take(shared, now.instant, ticket) else { continue };
                    EntityCounters::add(&shared.counters.timers_fired, 1);
                    Queued::unlimited(command)
                }
                Waiting::Reminder(row, slot) => {
                    let Some(due) = firing::turn(shared, now, stream, *row, actions) else {
                        continue;
                    };
                    let around = (&mut *stream, &replication.peers);
                    commands.fire(shared, now, around, (&due, slot), (inbox, timers));
                    continue;
                }
            };
            let around = (&mut *stream, &replication.peers);
            commands.handle(shared, now, around, queued, (inbox, timers));
            if !shared.settings.pipelined {
                self.stream.persist(shared, actions);
            }
        }
        self.stream.persist(shared, actions);
        actions.extend(self.timers.arm(now.instant).map(Action::WakeForTimers));
        let has_more = !inbox.is_empty() || firing::has_reaction(&mut self.stream);
        has_more && self.takes_commands(shared)
    }

    /// Puts the timers whose time has come into the inbox.
    pub(super) fn wake(&mut self, now: Now, inbox: &mut Inbox<E::Command>) {
        self.timers.wake(now.instant).into_iter().for_each(|ticket| inbox.push_timer(ticket));
    }

    /// Returns whether a timer runs, other than the receive timeout.
    pub(super) fn has_timers(&self) -> bool {
        self.timers.count() > 0
    }

    /// Answers news, and reads on where events are missing.
    pub(super) fn pull(&mut self, shared: &Shared<E>, now: Now, actions: &mut Vec<Action<E>>) {
        if !firing::has_room(shared, &mut self.stream) {
            return;
        }
        let is_idle = self.is_idle();
        self.replication.pull(shared, now, &mut self.stream, is_idle, actions);
    }

    /// Adds doubted replicas: commands wait until their journals were read to their ends.
    pub(super) fn doubt(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        replicas: &[ReplicaId],
        actions: &mut Vec<Action<E>>,
    ) {
        self.replication.doubt(shared, now, replicas, actions);
    }

    pub(super) fn vouched(&mut self, replica: &ReplicaId) {
        self.replication.doubts.vouched(replica);
    }

    /// Tells the host of a fork that was found. Returns whether the host must be told now that
    /// another replica has events of this replica that the journal has not.
    pub(super) fn found_behind(
        &mut self,
        shared: &Shared<E>,
        actions: &mut Vec<Action<E>>,
    ) -> bool {
        actions.extend(self.stream.applied.own_times.take_fork().map(Action::Forked));
        self.replication.found_behind(shared, &self.stream)
    }

    /// Returns whether every doubted replica was read to its end, and what was read is durable.
    pub(super) fn is_reclaimed(&self) -> bool {
        self.replication.doubts.is_over(self.durable())
    }

    /// The reason why commands are refused because of a doubt; `None` when they wait, or when there
    /// is no open doubt.
    pub(super) fn refusal(&self, now: Now, is_stopping: bool) -> Option<String> {
        let doubts = &self.replication.doubts;
        if !doubts.is_open() {
            return None;
        }
        doubts.refusal(now).or_else(|| is_stopping.then(|| "the entity is stopping".into()))
    }

    /// Tells the behaviour that this life in memory ends.
    pub(super) fn signal_end(&mut self, shared: &Shared<E>, signal: &Signal) {
        self.stream.signal_last(shared, signal);
    }

    /// Ends the work. Answers that wait for the disk fail.
    pub(super) fn fail(self, shared: &Shared<E>, answer: &ReplyError) -> Ended {
        let Self { stream, replication, commands, timers } = self;
        let is_appending = stream.is_appending();
        let has_asynchronous = commands.has_asynchronous() || commands.has_beside();
        let mut news = replication.peers.into_news();
        let (applied, untold) = stream.fail(answer);
        for (replica, highest) in untold {
            // the news were covered by events that are not durable: they must be covered again
            news.untold(replica, highest);
        }
        commands.end(shared, answer);
        timers.end(shared);
        applied.end(shared);
        Ended { is_appending, has_asynchronous, news, holding: replication.holding }
    }

    pub(super) fn check(&self, shared: &Shared<E>) {
        self.stream.check(shared);
        self.timers.check(shared.settings.timers_max);
        self.replication.check(shared, &self.stream);
        self.commands.check();
    }
}

/// The things that an entity at work leaves behind at its end.
pub(super) struct Ended {
    /// True when an append is under way: the next recovery waits for its end.
    pub(super) is_appending: bool,
    /// True when a future is under way, or waits for its turn: it is dropped.
    pub(super) has_asynchronous: bool,
    /// The news that were not answered.
    pub(super) news: News,
    /// The events that are held back.
    pub(super) holding: Holding,
}
