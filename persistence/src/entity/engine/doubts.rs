//! Doubt about the own journal, and own events that come back from other replicas.
//!
//! A journal that was restored from a backup, or lost with its disk, has fewer events of its own
//! replica than the other replicas have. Commands on this journal would use numbers again that
//! other replicas know already, and these would drop the new events as duplicates. So an entity in
//! doubt reads the journals of the doubted replicas to their ends before it takes a command. On the
//! way it takes its own events back, through causal delivery like all others:
//!
//! ```text
//!   Doubted([B, C])          B at its end, C at its end, all of it durable
//!   ---------------> in doubt --------------------------------------------> Reclaimed
//!                      |  ^
//!                      +--+ a read fails, or `reclaim_wait` is over:
//!                           commands are refused without effect, reads go on
//! ```
//!
//! An own event that another replica has and the journal has not is the proof of a loss, on every
//! path on which it arrives. It puts the entity in doubt, each time that it comes while there is no
//! doubt. After a proof the word of the host does not end the doubt about a replica that can be
//! read: the host may not know of the loss yet.
//!
//! A doubt does not end while an own event is known that is not applied: it waits for its causes,
//! or news told of it. Then the journals are read once more, from their beginnings: rows before the
//! position may have other events than when they were read. An own event that no journal has any
//! more is forgotten.
//!
//! Invariants: no command, reminder or reaction is handled while a doubted replica was not read to
//! its end, and without a doubt no own event waits; an event that was read counts when it is
//! durable, so a restart begins the doubt anew.

use tokio::time::Instant;

use super::Now;
use super::shared::Shared;
use crate::entity::EventSourced;
use crate::event::SequenceNr;
use crate::identity::ReplicaId;

/// A doubted replica whose journal was not yet read to its end.
#[derive(Debug)]
struct Open {
    replica: ReplicaId,
    /// True when a read was under way when the doubt began: the next answer does not count.
    is_early: bool,
    /// True when the last read gave an error.
    is_unreadable: bool,
    /// The reason why the last read did not reach the end.
    failed: Option<String>,
}

/// The doubted replicas of an entity at work. Commands wait until each was read to its end.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    open: Vec<Open>,
    /// The newest number when the last doubted replica was read to its end. The doubt ends when the
    /// events up to this number are durable.
    needed: SequenceNr,
    /// The time at which commands that wait are refused.
    wait_until: Option<Instant>,
    /// True after an own event came that the journal has not, or news of one, until the entity is
    /// in doubt because of it.
    is_behind: bool,
    /// True when the open doubt follows from such an event.
    is_proven: bool,
    /// True after the journals are read from their beginnings in this doubt.
    is_anew: bool,
    /// True after the host was told of such an event.
    is_told: bool,
}

impl Doubts {
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn is_asked(&self, replica: &ReplicaId) -> bool {
        self.open.iter().any(|open| open.replica == *replica)
    }

    /// Notes that the replica's journal was read to its end.
    pub(super) fn answered(&mut self, replica: &ReplicaId, newest: SequenceNr) {
        self.needed = newest;
        self.open.retain_mut(|open| {
            let is_it = open.replica == *replica;
            let stays = !is_it || open.is_early;
            open.is_early &= !is_it;
            stays
        });
    }

    /// Notes that a read of the replica's journal begins now, so that its end counts as an answer.
    pub(super) fn asks(&mut self, replica: &ReplicaId) {
        if let Some(open) = self.open.iter_mut().find(|open| open.replica == *replica) {
            open.is_early = false;
        }
    }

    /// Notes that a read failed, or stopped before the end.
    pub(super) fn failed(&mut self, replica: &ReplicaId, reason: &str) {
        if let Some(open) = self.open.iter_mut().find(|open| open.replica == *replica) {
            open.is_early = false;
            open.is_unreadable = false;
            open.failed = Some(format!("`{replica}`: {reason}"));
        }
    }

    /// Notes that a read gave an error.
    pub(super) fn unreadable(&mut self, replica: &ReplicaId, reason: &str) {
        self.failed(replica, reason);
        if let Some(open) = self.open.iter_mut().find(|open| open.replica == *replica) {
            open.is_unreadable = true;
        }
    }

    /// Notes that an own event came that the journal has not, or news of one.
    pub(super) fn found_behind(&mut self) {
        self.is_behind = true;
    }

    /// Takes the proof that the journal has gone back, if there is a new one. Returns whether the
    /// host must be told: it is told once.
    pub(super) fn take_proof(&mut self) -> Option<bool> {
        if !std::mem::take(&mut self.is_behind) {
            return None;
        }
        let is_new = !std::mem::replace(&mut self.is_told, true);
        let was_proven = std::mem::replace(&mut self.is_proven, true);
        (is_new || !was_proven || !self.is_open()).then_some(is_new)
    }

    /// Returns whether the doubt follows from an own event that the journal has not.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Notes that the journals are read from their beginnings in this doubt.
    pub(super) fn begin_anew(&mut self) {
        self.is_anew = true;
    }

    /// Returns whether the journals are read from their beginnings in this doubt, or were.
    pub(super) fn is_anew(&self) -> bool {
        self.is_anew
    }

    /// Notes that the doubt is over.
    pub(super) fn over(&mut self) {
        (self.is_proven, self.is_anew) = (false, false);
    }

    /// Adds doubted replicas: commands wait until their journals were read to their ends, and are
    /// refused from the end of `reclaim_wait` on. A read that is under way (`is_reading`) does not
    /// count. Returns whether a replica was added.
    pub(super) fn open<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        replicas: &[ReplicaId],
        is_reading: impl Fn(&ReplicaId) -> bool,
    ) -> bool {
        let before = self.open.len();
        for replica in replicas {
            if shared.is_own(replica) || self.is_asked(replica) {
                continue;
            }
            let is_early = is_reading(replica);
            let replica = replica.clone();
            self.open.push(Open { replica, is_early, is_unreadable: false, failed: None });
        }
        let is_new = self.open.len() > before;
        if is_new {
            self.wait_until = Some(now.instant + shared.settings.reclaim_wait);
        }
        is_new
    }

    /// Ends the doubt because of this replica: the host does not doubt it any more. Returns whether
    /// it has ended: after a proof, a replica that can be read is read.
    pub(super) fn vouched(&mut self, replica: &ReplicaId) -> bool {
        let is_proven = self.is_proven;
        self.open.retain(|open| open.replica != *replica || (is_proven && !open.is_unreadable));
        !self.is_asked(replica)
    }

    /// Returns whether every doubted replica was read to its end, and what was read is durable.
    pub(super) fn is_over(&self, durable: SequenceNr) -> bool {
        !self.is_open() && durable >= self.needed
    }

    /// The reason why commands are refused now; `None` when they wait.
    pub(super) fn refusal(&self, now: Now) -> Option<String> {
        let is_over = self.wait_until.is_some_and(|until| now.instant >= until);
        let names: Vec<&str> = self.open.iter().map(|open| open.replica.as_str()).collect();
        let failed = self.open.iter().find_map(|open| open.failed.as_ref());
        let why = match failed {
            Some(why) => why.clone(),
            None if is_over => format!("no answer from {names:?} yet"),
            None => return None,
        };
        Some(format!(
            "the journal may have gone back, and commands wait until {names:?} were asked for own events: {why}"
        ))
    }

    /// Asserts that each doubted replica is asked once, and never this one.
    pub(super) fn check<E: EventSourced>(&self, shared: &Shared<E>, newest: SequenceNr) {
        assert!(self.needed <= newest, "the doubt waits for event {} of {newest}", self.needed);
        for (place, open) in self.open.iter().enumerate() {
            let replica = &open.replica;
            assert!(!shared.is_own(replica), "`{replica}` doubts itself");
            let is_once = self.open[..place].iter().all(|other| other.replica != *replica);
            assert!(is_once, "`{replica}` is asked twice");
        }
    }
}
