//! What comes into the engine and what it asks for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::entity::effect::{AsynchronousFailure, CommandFuture, Prepared};
use crate::entity::{EventSourced, HeldEvent, PeerHas, StopReason};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::reply::{Claim, ReplyError};
use crate::store::{Append, Snapshot};
use crate::time::Timestamp;
use crate::{Error, Result as StoreResult};

/// Counts the restarts of an engine; results of I/O that began before one are ignored.
pub type Generation = u64;

/// Both times, as the shell reads them.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic time.
    pub instant: Instant,
    /// The time of day.
    pub wall: Timestamp,
}

/// A place in the mailbox; free again when it is dropped.
#[derive(Debug, Default)]
pub struct Slot(Option<Arc<AtomicUsize>>);

impl Slot {
    /// Takes a place if fewer than `max` are taken.
    pub fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        if taken.fetch_add(1, Ordering::AcqRel) < max {
            return Some(Self(Some(taken.clone())));
        }
        taken.fetch_sub(1, Ordering::AcqRel);
        None
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(taken) = &self.0 {
            taken.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A command with its place in the mailbox.
#[derive(Debug)]
pub struct Queued<C> {
    /// The command.
    pub command: C,
    /// Its place.
    pub slot: Slot,
    /// Taken before the command is handled; a void command is dropped.
    pub claim: Claim,
}

impl<C> Queued<C> {
    /// A command without a place, whose asker waits for ever.
    pub fn unlimited(command: C) -> Self {
        Self { command, slot: Slot::default(), claim: Claim::unlimited() }
    }
}

/// A fact for the engine.
#[derive(Debug)]
pub enum Input<E: EventSourced> {
    /// Begin; the first input.
    Start,
    /// The journal may have gone back: these replicas are asked for own events before a command is taken.
    Doubted(Vec<ReplicaId>),
    /// Nobody doubts any more because of that replica.
    Vouched(ReplicaId),
    /// The entity may recover.
    PermitGranted(Generation),
    /// A command.
    Command(Queued<E::Command>),
    /// Events of other replicas, by direct replication.
    Replicated(Vec<StoredEvent>),
    /// What another replica has.
    PeerHas(PeerHas),
    /// The newest snapshot.
    SnapshotLoaded(Generation, StoreResult<Option<Snapshot>>),
    /// The next events of this replica's stream.
    Replayed(Generation, StoreResult<Vec<StoredEvent>>),
    /// The highest number of this replica's stream.
    HighestFound(Generation, StoreResult<SequenceNr>),
    /// The append under way has ended.
    Appended(Generation, StoreResult<()>),
    /// The next events of another replica's stream.
    Pulled(Generation, ReplicaId, StoreResult<Vec<StoredEvent>>),
    /// The snapshot with this number was stored and read back equal, or not.
    SnapshotSaved(Generation, SequenceNr, StoreResult<()>),
    /// The future of an asynchronous effect has ended with this command, or without one.
    AsynchronousDone(Generation, Result<E::Command, AsynchronousFailure>),
    /// An operator wants the event with this number of that origin skipped.
    Skip(Generation, ReplicaId, u64),
    /// Some time has passed that was asked for.
    Wake,
    /// Finish what is there, then stop.
    Stop,
    /// Stop at once.
    Kill,
}

/// A request of the engine. The shell carries them out in order.
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
    /// Answer with `Appended`.
    Append(Generation, Append),
    /// Answer with `Pulled`, after this number of the replica's stream.
    Pull(Generation, ReplicaId, SequenceNr),
    /// Store it, read it back, and answer with `SnapshotSaved`.
    SaveSnapshot(Generation, Box<Snapshot>),
    /// Replace the snapshot with this number by one that cannot be used. No answer.
    VoidSnapshot(SequenceNr),
    /// Delete snapshots up to this number. No answer.
    DeleteSnapshots(SequenceNr),
    /// Delete events up to this number. No answer.
    DeleteEvents(SequenceNr),
    /// Let these out, in order, if the node may answer.
    Release(Vec<Release>),
    /// Own events are durable: pass them on.
    Publish(Vec<StoredEvent>),
    /// Events of other replicas with these times are durable here.
    Received(Vec<Timestamp>),
    /// All that the replica had up to this number is durable here.
    CaughtUp(ReplicaId, SequenceNr),
    /// What the replica has up to this number cannot be had, because this event is held back.
    Held(ReplicaId, SequenceNr, HeldEvent),
    /// Answer with `Skip` if an operator wants this event skipped.
    AskSkip(Generation, ReplicaId, u64),
    /// Answer with `AsynchronousDone`, after `asynchronous_timeout` at the latest.
    RunAsynchronous(Generation, CommandFuture<E::Command>),
    /// Answer with `Wake` after that time.
    WakeAfter(Duration),
    /// Ask the host to stop this entity.
    Passivate,
    /// Another replica has own events that the journal has not.
    WentBack,
    /// Another replica has another event with this number of the own ones.
    Forked(u64),
    /// Every replica that was doubted was read to its end, and what it had is durable.
    Reclaimed,
    /// Another writer owns the stream.
    Fenced(Error),
    /// The last action.
    Stopped(StopReason),
}

/// What a command does visibly, ready to be let out.
pub struct Release {
    pub(super) prepared: Vec<Box<dyn Prepared>>,
    /// The last event of the command itself; `None` when it stored nothing, so that it is certainly without effect.
    pub(super) stored: Option<SequenceNr>,
    pub(super) _slot: Slot,
}

impl Release {
    /// Lets it out.
    pub fn release(self) {
        for prepared in self.prepared {
            prepared.release();
        }
    }

    /// Tells the askers that the node may not answer now: what the command stored is durable.
    pub fn withhold(self) {
        let error = ReplyError::Timeout;
        let error = if self.stored.is_none() { error.without_effect() } else { error };
        self.fail(&error);
    }

    /// Tells the askers why not.
    pub fn fail(self, error: &ReplyError) {
        for prepared in self.prepared {
            prepared.fail(error.clone());
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
            Self::Append(_, append) => {
                write!(f, "Append({} after {})", append.events.len(), append.expected)
            }
            Self::Pull(_, replica, after) => write!(f, "Pull({replica}, {after})"),
            Self::SaveSnapshot(_, snapshot) => write!(f, "SaveSnapshot({})", snapshot.sequence_nr),
            Self::VoidSnapshot(number) => write!(f, "VoidSnapshot({number})"),
            Self::DeleteSnapshots(last) => write!(f, "DeleteSnapshots({last})"),
            Self::DeleteEvents(last) => write!(f, "DeleteEvents({last})"),
            Self::Release(releases) => write!(f, "Release({})", releases.len()),
            Self::Publish(events) => write!(f, "Publish({})", events.len()),
            Self::Received(times) => write!(f, "Received({})", times.len()),
            Self::CaughtUp(replica, highest) => write!(f, "CaughtUp({replica}, {highest})"),
            Self::Held(replica, highest, held) => {
                write!(f, "Held({replica}, {highest}, {}:{})", held.origin, held.number)
            }
            Self::AskSkip(_, origin, number) => write!(f, "AskSkip({origin}, {number})"),
            Self::RunAsynchronous(..) => f.write_str("RunAsynchronous"),
            Self::WakeAfter(time) => write!(f, "WakeAfter({time:?})"),
            Self::Passivate => f.write_str("Passivate"),
            Self::WentBack => f.write_str("WentBack"),
            Self::Forked(number) => write!(f, "Forked({number})"),
            Self::Reclaimed => f.write_str("Reclaimed"),
            Self::Fenced(error) => write!(f, "Fenced({error})"),
            Self::Stopped(reason) => write!(f, "Stopped({reason:?})"),
        }
    }
}
