//! The inputs of the engine, and the actions that it asks for.

use std::fmt;
use std::time::Duration;

use antiphon_base::time::Timestamp;
use tokio::time::Instant;

use super::{Queued, Release, Releases, RowChanges, Slot};
use crate::entity::asynchronous::{AsynchronousFailure, CommandFuture, Outcome, OutcomeFuture};
use crate::entity::{EventSourced, HeldEvent, PeerHas, StopReason};
use crate::event::{Metadata, SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::reply::{Askers, ReplyError, refuse};
use crate::store::{Append, ReminderRow, ReplayPage, Snapshot};
use crate::{Error, Result as StoreResult};

/// The number of restarts of an engine. Results of I/O from an earlier generation are ignored.
pub type Generation = u64;

/// The monotonic time and the time of day, as the shell reads them.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic time.
    pub instant: Instant,
    /// The time of day.
    pub wall: Timestamp,
}

/// A fact for the engine.
#[derive(Debug)]
pub enum Input<E: EventSourced> {
    /// The first input: begin.
    Start,
    /// The journal may have gone back: these replicas are asked for own events before a command is
    /// taken.
    Doubted(Vec<ReplicaId>),
    /// The doubt because of this replica is over: it need not be asked.
    Vouched(ReplicaId),
    /// The entity may recover.
    PermitGranted(Generation),
    /// A command.
    Command(Queued<E::Command>),
    /// Commands, in order; what they make visible is let out together.
    Commands(Vec<Queued<E::Command>>),
    /// A row of a reminder of this entity is due; it takes a slot of the mailbox.
    ReminderDue(Box<ReminderRow>, Slot),
    /// Events of other replicas, by direct replication.
    Replicated(Vec<StoredEvent>),
    /// The events that another replica has.
    PeerHas(Box<PeerHas>),
    /// The newest snapshot.
    SnapshotLoaded(Generation, StoreResult<Option<Box<Snapshot>>>),
    /// The next events of this replica's stream.
    Replayed(Generation, StoreResult<ReplayPage>),
    /// The highest number of this replica's stream.
    HighestFound(Generation, StoreResult<SequenceNr>),
    /// The snapshots above the journal were made unusable, or the store failed at one of them.
    SnapshotsVoided(Generation, StoreResult<()>),
    /// The append under way has ended.
    Appended(Generation, StoreResult<()>),
    /// The next events of this other replica's stream.
    Pulled(Generation, ReplicaId, StoreResult<ReplayPage>),
    /// The snapshot with this number was stored and read back equal, or not.
    /// With the metadata of the snapshot, for the signal.
    SnapshotSaved(Generation, SequenceNr, StoreResult<Metadata>),
    /// The snapshots up to this number were deleted, or not.
    SnapshotsDeleted(Generation, SequenceNr, StoreResult<()>),
    /// The events up to this number were deleted, or not.
    EventsDeleted(Generation, SequenceNr, StoreResult<()>),
    /// The future of an asynchronous effect has ended with this command, or without one.
    AsynchronousDone(Generation, Result<E::Command, AsynchronousFailure>),
    /// The future beside the commands with this number has ended with this value, or without one.
    BesideDone(Generation, u64, Result<Outcome, AsynchronousFailure>),
    /// An operator wants the event with this number of that origin skipped.
    Skip(Generation, ReplicaId, u64),
    /// The row of a reminder is there, or not.
    ReminderFound(Generation, Box<ReminderRow>, StoreResult<bool>),
    /// Events of this replica's stream, to react to those of other replicas.
    ReactionsRead(Generation, StoreResult<ReplayPage>),
    /// The time of a `WakeAfter` has passed.
    Wake,
    /// The answer to `GoOn`.
    GoOn,
    /// Finish the commands that are there, then stop.
    Stop,
    /// Stop at once.
    Kill,
}

/// A request of the engine. The shell carries out requests in order.
pub enum Action<E: EventSourced> {
    /// Answer with `PermitGranted`, when it is this entity's turn.
    RequestPermit(Generation),
    /// Give the permit back, or take the request back.
    ReleasePermit,
    /// Answer with `SnapshotLoaded`, up to this number.
    LoadSnapshot(Generation, SequenceNr),
    /// Answer with `Replayed`, from this number on.
    Replay(Generation, SequenceNr),
    /// Answer with `HighestFound`.
    FindHighest(Generation),
    /// Put the rows of reminders, then append. Answer with `Appended`.
    Append(Generation, Append, Vec<ReminderRow>),
    /// Answer with `Pulled`, after this number of the replica's stream.
    Pull(Generation, ReplicaId, SequenceNr),
    /// Store the snapshot, read it back, and answer with `SnapshotSaved`.
    SaveSnapshot(Generation, Box<Snapshot>),
    /// Replace the snapshots with these numbers by ones that cannot be used, and answer with
    /// `SnapshotsVoided`.
    VoidSnapshots(Generation, Vec<SequenceNr>),
    /// Delete snapshots up to this number, and answer with `SnapshotsDeleted`.
    DeleteSnapshots(Generation, SequenceNr),
    /// Delete events up to this number, and answer with `EventsDeleted`.
    DeleteEvents(Generation, SequenceNr),
    /// Let these releases out, in order, if the node may answer.
    Release(Releases),
    /// Own events are durable: pass them on.
    Publish(Vec<StoredEvent>),
    /// Events of other replicas with these times are durable here.
    Received(Vec<Timestamp>),
    /// Everything that the replica had up to this number is durable here.
    CaughtUp(ReplicaId, SequenceNr),
    /// The entity cannot catch up with the replica up to this number, because this event is held
    /// back.
    Held(ReplicaId, SequenceNr, HeldEvent),
    /// Answer with `ReminderFound`.
    FindReminder(Generation, Box<ReminderRow>),
    /// Answer with `ReactionsRead`, from this number on.
    ReadReactions(Generation, SequenceNr),
    /// Put rows of reminders, and then remove others. No answer.
    ChangeReminders(Box<RowChanges>),
    /// Answer with `Skip` if an operator wants the event with this number of this origin skipped.
    AskSkip(Generation, ReplicaId, u64),
    /// Hand these events, which are durable, to the listeners; without events: some became durable
    /// that were not kept.
    Durable(Vec<StoredEvent>),
    /// Answer with `AsynchronousDone`, after `asynchronous_timeout` at the latest. The entities
    /// hold up their commands until the command of the future is answered.
    RunAsynchronous(Generation, CommandFuture<E::Command>, (Option<Askers>, u64)),
    /// Answer with `BesideDone` for this number, after `asynchronous_timeout` at the latest; at
    /// once when there is a failure in place of a future.
    RunBeside(Generation, u64, Result<OutcomeFuture, AsynchronousFailure>),
    /// Drop the future of the last `RunAsynchronous`, if it is under way, and the futures of all
    /// `RunBeside`. No answer.
    DropAsynchronous,
    /// Answer with `Wake` after this time.
    WakeAfter(Duration),
    /// The same, in place of the last `WakeForTimers`.
    WakeForTimers(Duration),
    /// Answer with `GoOn`, behind the messages that wait: more commands can be handled now.
    GoOn,
    /// Ask the host to stop this entity.
    Passivate,
    /// Another replica has own events that the journal has not.
    WentBack,
    /// Another replica has a different event of this replica under this number.
    Forked(u64),
    /// Every doubted replica's journal was read to its end, and the events that it had are durable.
    Reclaimed,
    /// Another writer owns the stream.
    Fenced(Error),
    /// The last action.
    Stopped(StopReason),
}

impl<E: EventSourced> Input<E> {
    /// The generation that has asked for this result; `None` for an input that is no result.
    pub(super) fn generation(&self) -> Option<Generation> {
        match self {
            Self::PermitGranted(generation)
            | Self::SnapshotLoaded(generation, _)
            | Self::Replayed(generation, _)
            | Self::HighestFound(generation, _)
            | Self::SnapshotsVoided(generation, _)
            | Self::Appended(generation, _)
            | Self::Pulled(generation, ..)
            | Self::SnapshotSaved(generation, ..)
            | Self::SnapshotsDeleted(generation, ..)
            | Self::EventsDeleted(generation, ..)
            | Self::AsynchronousDone(generation, _)
            | Self::BesideDone(generation, ..)
            | Self::ReminderFound(generation, ..)
            | Self::ReactionsRead(generation, _)
            | Self::Skip(generation, ..) => Some(*generation),
            Self::Start
            | Self::Doubted(_)
            | Self::Vouched(_)
            | Self::Command(_)
            | Self::Commands(_)
            | Self::ReminderDue(..)
            | Self::Replicated(_)
            | Self::PeerHas(_)
            | Self::Wake
            | Self::GoOn
            | Self::Stop
            | Self::Kill => None,
        }
    }

    /// The name of the input, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Doubted(_) => "Doubted",
            Self::Vouched(_) => "Vouched",
            Self::PermitGranted(_) => "PermitGranted",
            Self::Command(_) => "Command",
            Self::Commands(_) => "Commands",
            Self::ReminderDue(..) => "ReminderDue",
            Self::ReminderFound(..) => "ReminderFound",
            Self::ReactionsRead(..) => "ReactionsRead",
            Self::Replicated(_) => "Replicated",
            Self::PeerHas(_) => "PeerHas",
            Self::SnapshotLoaded(..) => "SnapshotLoaded",
            Self::Replayed(..) => "Replayed",
            Self::HighestFound(..) => "HighestFound",
            Self::SnapshotsVoided(..) => "SnapshotsVoided",
            Self::Appended(..) => "Appended",
            Self::Pulled(..) => "Pulled",
            Self::SnapshotSaved(..) => "SnapshotSaved",
            Self::SnapshotsDeleted(..) => "SnapshotsDeleted",
            Self::EventsDeleted(..) => "EventsDeleted",
            Self::AsynchronousDone(..) => "AsynchronousDone",
            Self::BesideDone(..) => "BesideDone",
            Self::Skip(..) => "Skip",
            Self::Wake => "Wake",
            Self::GoOn => "GoOn",
            Self::Stop => "Stop",
            Self::Kill => "Kill",
        }
    }

    /// Drops an input that the entity does not take any more. The asker of a command gets `reason`.
    pub fn refuse(self, reason: ReplyError) {
        match self {
            Self::Command(queued) => queued.refuse(reason),
            Self::Commands(all) => {
                all.into_iter().for_each(|queued| queued.refuse(reason.clone()));
            }
            // the future of the command has run
            Self::AsynchronousDone(_, Ok(command)) => {
                refuse(command, reason.with_unknown_effect());
            }
            Self::BesideDone(_, _, Ok(outcome)) => refuse(outcome, reason.with_unknown_effect()),
            Self::AsynchronousDone(_, Err(_))
            | Self::BesideDone(_, _, Err(_))
            | Self::Start
            | Self::Doubted(_)
            | Self::Vouched(_)
            | Self::PermitGranted(_)
            | Self::ReminderDue(..)
            | Self::ReminderFound(..)
            | Self::ReactionsRead(..)
            | Self::Replicated(_)
            | Self::PeerHas(_)
            | Self::SnapshotLoaded(..)
            | Self::Replayed(..)
            | Self::HighestFound(..)
            | Self::Appended(..)
            | Self::Pulled(..)
            | Self::SnapshotSaved(..)
            | Self::SnapshotsDeleted(..)
            | Self::EventsDeleted(..)
            | Self::SnapshotsVoided(..)
            | Self::Skip(..)
            | Self::Wake
            | Self::GoOn
            | Self::Stop
            | Self::Kill => {}
        }
    }
}

impl<E: EventSourced> Action<E> {
    /// Drops an action that is not carried out any more. Askers whose answers it would have let out
    /// get an error.
    pub fn withhold(self) {
        match self {
            Self::Release(releases) => releases.into_iter().for_each(Release::withhold),
            Self::RunAsynchronous(_, future, _) => {
                let why = "the entity ended before its asynchronous effect began".to_owned();
                // the command counts as acted since this action was made
                refuse(future, ReplyError::Unavailable(why).with_unknown_effect());
            }
            Self::RunBeside(_, _, Ok(future)) => {
                let why = "the entity ended before its asynchronous effect began".to_owned();
                refuse(future, ReplyError::Unavailable(why).with_unknown_effect());
            }
            Self::RunBeside(_, _, Err(_))
            | Self::RequestPermit(_)
            | Self::ReleasePermit
            | Self::LoadSnapshot(..)
            | Self::Replay(..)
            | Self::FindHighest(_)
            | Self::Append(..)
            | Self::Pull(..)
            | Self::SaveSnapshot(..)
            | Self::VoidSnapshots(..)
            | Self::DeleteSnapshots(..)
            | Self::DeleteEvents(..)
            | Self::Publish(_)
            | Self::Durable(_)
            | Self::Received(_)
            | Self::CaughtUp(..)
            | Self::Held(..)
            | Self::FindReminder(..)
            | Self::ReadReactions(..)
            | Self::ChangeReminders(_)
            | Self::AskSkip(..)
            | Self::DropAsynchronous
            | Self::WakeAfter(_)
            | Self::WakeForTimers(_)
            | Self::GoOn
            | Self::Passivate
            | Self::WentBack
            | Self::Forked(_)
            | Self::Reclaimed
            | Self::Fenced(_)
            | Self::Stopped(_) => {}
        }
    }
}

impl<E: EventSourced> fmt::Debug for Action<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestPermit(_) => f.write_str("RequestPermit"),
            Self::ReleasePermit => f.write_str("ReleasePermit"),
            Self::LoadSnapshot(_, SequenceNr::MAX) => f.write_str("LoadSnapshot"),
            Self::LoadSnapshot(_, last) => write!(f, "LoadSnapshot({last})"),
            Self::FindHighest(_) => f.write_str("FindHighest"),
            Self::Replay(_, first) => write!(f, "Replay({first})"),
            Self::Append(_, append, rows) if rows.is_empty() => {
                write!(f, "Append({} after {})", append.events.len(), append.expected)
            }
            Self::Append(_, append, rows) => {
                let (count, expected) = (append.events.len(), append.expected);
                write!(f, "Append({count} after {expected}, {} rows)", rows.len())
            }
            Self::ReadReactions(_, first) => write!(f, "ReadReactions({first})"),
            Self::FindReminder(_, row) => write!(f, "FindReminder({})", row.name),
            Self::ChangeReminders(changes) => {
                let RowChanges { put, remove } = &**changes;
                write!(f, "ChangeReminders({} put, {} removed)", put.len(), remove.len())
            }
            Self::Pull(_, replica, after) => write!(f, "Pull({replica}, {after})"),
            Self::SaveSnapshot(_, snapshot) => write!(f, "SaveSnapshot({})", snapshot.sequence_nr),
            Self::VoidSnapshots(_, numbers) => write!(f, "VoidSnapshots({numbers:?})"),
            Self::DeleteSnapshots(_, last) => write!(f, "DeleteSnapshots({last})"),
            Self::DeleteEvents(_, last) => write!(f, "DeleteEvents({last})"),
            Self::Release(releases) => write!(f, "Release({})", releases.len()),
            Self::Durable(events) => write!(f, "Durable({})", events.len()),
            Self::Publish(events) => write!(f, "Publish({})", events.len()),
            Self::Received(times) => write!(f, "Received({})", times.len()),
            Self::CaughtUp(replica, highest) => write!(f, "CaughtUp({replica}, {highest})"),
            Self::Held(replica, highest, held) => {
                write!(f, "Held({replica}, {highest}, {}:{})", held.origin, held.number)
            }
            Self::AskSkip(_, origin, number) => write!(f, "AskSkip({origin}, {number})"),
            Self::RunAsynchronous(..) => f.write_str("RunAsynchronous"),
            Self::RunBeside(_, number, Ok(_)) => write!(f, "RunBeside({number})"),
            Self::RunBeside(_, number, Err(failure)) => {
                write!(f, "RunBeside({number}, {failure:?})")
            }
            Self::DropAsynchronous => f.write_str("DropAsynchronous"),
            Self::WakeAfter(time) => write!(f, "WakeAfter({time:?})"),
            Self::WakeForTimers(time) => write!(f, "WakeForTimers({time:?})"),
            Self::GoOn => f.write_str("GoOn"),
            Self::Passivate => f.write_str("Passivate"),
            Self::WentBack => f.write_str("WentBack"),
            Self::Forked(number) => write!(f, "Forked({number})"),
            Self::Reclaimed => f.write_str("Reclaimed"),
            Self::Fenced(error) => write!(f, "Fenced({error})"),
            Self::Stopped(reason) => write!(f, "Stopped({reason:?})"),
        }
    }
}
