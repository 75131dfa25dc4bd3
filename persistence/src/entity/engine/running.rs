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
use crate::event::Metadata;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::reply::ReplyError;
use crate::store::{DoneRequest, SetReminder, Snapshot};
use crate::version::VersionVector;

/// Most commands that one step handles. The entity then reads its next messages: commands that
/// stash themselves and unstash each other would keep it from a stop or a kill otherwise.
const STEP_COMMANDS_MAX: usize = 1000;

/// Commands of a step from one look at whether it goes on to the next; the first look is after the
/// first command. A command that comes alone has no look.
const COMMANDS_PER_LOOK: usize = 4;

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
        actions: &mut Vec<Action<E>>,
    ) -> Self {
        let Recovered { applied, positions, snapshot, since, is_behind } = recovered;
        let mut doubts = Doubts::default();
        if is_behind || holding.holds(shared.id.replica_id()) {
            doubts.found_behind();
        }
        let peers = Peers::new(shared, &positions);
        let mut stream = Stream::new(shared, applied, snapshot);
        holding.hold_again(&mut stream.applied.delivery);
        stream.applied.clock.tick(now.wall);
        stream.signal(shared, &Signal::RecoveryCompleted);
        firing::begin(shared, now, &mut stream, actions);
        stream.recovered(shared, since, &peers);
        let replication = Replication::new(now, peers, holding, doubts);
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

    /// The requests that are remembered.
    pub(super) fn requests(&self) -> Vec<DoneRequest> {
        self.stream.applied.requests.for_snapshot()
    }

    /// The snapshot of the newest state.
    ///
    /// # Errors
    /// The reason why the state could not be read again.
    pub(super) fn snapshot(&mut self, shared: &Shared<E>) -> Result<Snapshot, String> {
        self.stream.snapshot(shared, &self.replication.peers, &Metadata::new())
    }

    /// Returns whether a snapshot is under way.
    pub(super) fn saves_snapshot(&self) -> bool {
        self.stream.saves_snapshot()
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

    /// The number of the future that holds up the commands.
    pub(super) fn held_up_by(&self) -> Option<u64> {
        self.commands.held_up_by()
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
                match commands.asynchronous_done(shared, result, inbox) {
                    Some(queued) if stream.applied.reminders.is_firing() => {
                        inbox.push_fired(queued);
                    }
                    Some(queued) => inbox.push_front(queued),
                    None => firing::given_up(shared, stream),
                }
            }
            Input::ReminderFound(_, row, is_there) => {
                if firing::found(shared, stream, now, (&row, is_there), actions) {
                    inbox.push_reminder(row, Slot::default());
                }
            }
            Input::ReactionsRead(_, page) => firing::read(shared, stream, page),
            Input::BesideDone(_, number, outcome) => {
                commands.beside_done(shared, number, outcome, inbox);
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
            | Input::Commands(_)
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

    /// Opens the handlings of requests again whose commands were taken over from the life before.
    pub(super) fn reopen(&mut self, shared: &Shared<E>, inbox: &Inbox<E::Command>) {
        self.commands.reopen(shared, &self.stream, inbox);
    }

    /// Notes that commands of futures of these requests have ended.
    pub(super) fn handled(&mut self, requests: &[Box<str>], inbox: &mut Inbox<E::Command>) {
        requests.iter().for_each(|id| self.commands.handled(id, inbox));
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

    pub(super) fn heard(&mut self, shared: &Shared<E>, news: PeerHas) {
        let own = shared.id.replica_id();
        if news.seen.get(own) > self.seen().get(own) {
            self.replication.doubts.found_behind();
        }
        self.replication.peers.heard(news);
    }

    /// Handles the commands that can be handled now, while `goes_on` says so, and begins the
    /// appends. Returns whether more commands can be handled in the next step.
    pub(super) fn work(
        &mut self,
        shared: &Shared<E>,
        (now, goes_on): (Now, &dyn Fn() -> bool),
        inbox: &mut Inbox<E::Command>,
        actions: &mut Vec<Action<E>>,
    ) -> bool {
        // actions whose events became durable are let out first
        self.stream.persist(shared, actions);
        inbox.look_behind(shared, now, self.stream.applied.seen());
        for count in 0..STEP_COMMANDS_MAX {
            let is_late = count % COMMANDS_PER_LOOK == 1 && self.has_more(inbox) && !goes_on();
            if is_late || !self.takes_commands(shared) {
                break;
            }
            // the effect of a future comes first, with the reminder or the reaction that wanted it
            if !self.stream.applied.reminders.is_firing()
                && let Some(event) = firing::next_reaction(shared, &mut self.stream, actions)
            {
                let around = (&mut self.stream, &self.replication.peers);
                self.commands.react(shared, now, around, &event, (inbox, &mut self.timers));
                continue;
            }
            let Some(waiting) = inbox.pop() else { break };
            let Self { stream, replication, commands, timers } = self;
            let queued = match waiting {
                Waiting::Command(queued) => {
                    let seen = stream.applied.seen();
                    let Some(queued) = inbox.admit(shared, now, seen, queued) else {
                        replication.peers.look_for_session(shared, now);
                        continue;
                    };
                    timers.received(now.instant);
                    queued
                }
                Waiting::Fired(queued) => queued,
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
        actions.extend(inbox.arm(now.instant).map(Action::WakeAfter));
        let expire = self.commands.expire(&shared.counters, now);
        actions.extend(expire.map(Action::WakeAfter));
        self.has_more(inbox) && self.takes_commands(shared)
    }

    /// Returns whether a command or a reaction waits for its turn.
    fn has_more(&mut self, inbox: &Inbox<E::Command>) -> bool {
        !inbox.is_empty() || firing::has_reaction(&mut self.stream)
    }

    /// Gives room back that an idle entity does not need.
    pub(super) fn shrink(&mut self) {
        self.stream.shrink();
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
    pub(super) fn pull(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        inbox: &Inbox<E::Command>,
        actions: &mut Vec<Action<E>>,
    ) {
        if !firing::has_room(shared, &mut self.stream) {
            return;
        }
        let is_idle = self.is_idle();
        self.replication.pull(shared, now, &mut self.stream, (is_idle, inbox), actions);
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

    /// Ends the doubt because of this replica, unless it is read. Returns whether it has ended.
    pub(super) fn vouched(&mut self, replica: &ReplicaId) -> bool {
        self.replication.doubts.vouched(replica)
    }

    /// Tells the host of a fork that was found. Returns a value when another replica has events of
    /// this replica that the journal has not, true when the host must be told of this.
    pub(super) fn found_behind(&mut self, actions: &mut Vec<Action<E>>) -> Option<bool> {
        actions.extend(self.stream.applied.own_times.take_fork().map(Action::Forked));
        self.replication.doubts.take_proof()
    }

    /// Returns whether all doubted replicas were read, and own events are missing that are known.
    pub(super) fn misses_own(&self, shared: &Shared<E>) -> bool {
        self.replication.misses_own(shared, &self.stream)
    }

    /// Reads the journals of the doubted replicas from their beginnings.
    pub(super) fn read_anew(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        replicas: &[ReplicaId],
        actions: &mut Vec<Action<E>>,
    ) {
        self.replication.read_anew(shared, now, &mut self.stream, replicas, actions);
    }

    /// Forgets the own events that wait or are held when no doubt is open any more: no journal has
    /// them, or an operator has accepted their loss.
    pub(super) fn forget_missing(&mut self, shared: &Shared<E>) {
        self.replication.forget_missing(shared, &mut self.stream);
    }

    /// Notes that no replica is doubted any more.
    pub(super) fn doubt_over(&mut self) {
        self.replication.doubts.over();
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

    /// Notes that the commands that waited were refused, that of a reminder's future too: the
    /// reminder comes again.
    pub(super) fn refused(&mut self, shared: &Shared<E>) {
        if self.stream.applied.reminders.is_firing() && !self.commands.has_asynchronous() {
            firing::given_up(shared, &mut self.stream);
        }
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
