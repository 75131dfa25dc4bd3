//! The snapshots of one entity: the time of the next one, and the kept ones.
//!
//! A snapshot is due after an event when one of these holds; the events are counted over all lives
//! of the entity, since the count begins with the number of the newest stored snapshot:
//! - the behaviour wants it (`snapshot_when`);
//! - `snapshot_every` events have come since the last one;
//! - `snapshot_after_age` has passed since the last one, or since the first event, by the times of
//!   the events and of the commands between them.
//!
//! A recovery asks too, at its end: it wants a snapshot when it has replayed
//! `snapshot_after_replay` events or more. That one is tried once in a life, and its failure is no
//! failure of a snapshot that the user asked for.
//!
//! A snapshot that failed is tried again: a wanted or old one with the first event after
//! [`RETRY_AFTER`], or with the next event that the behaviour wants one for; one by
//! `snapshot_every` after so many more events.

use std::collections::VecDeque;
use std::time::Duration;

use antiphon_base::time::Timestamp;

use super::Action;
use super::shared::Shared;
use crate::entity::{EntitySettings, EventSourced};
use crate::event::SequenceNr;
use crate::version::VersionVector;

/// Time of the entity after which a snapshot that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// The snapshots of one entity. At most one is under way.
pub(super) struct Snapshots {
    /// True when the behaviour wants a snapshot (`snapshot_when`).
    is_wanted: bool,
    is_under_way: bool,
    /// True when the last attempt was made because the behaviour wanted it.
    was_wanted: bool,
    /// True when the last attempt was made for a long recovery alone.
    is_of_recovery: bool,
    /// The number at which a snapshot was taken last, whether or not it was stored.
    last: SequenceNr,
    /// The parts of an entity that has snapshots, or whose snapshots go by age.
    rare: Option<Box<Rare>>,
}

/// The stored snapshots, and the age of the last one.
#[derive(Default)]
struct Rare {
    /// The time of the entity at the last snapshot that was taken, or at its first event. Kept with
    /// `snapshot_after_age` alone.
    since: Option<Timestamp>,
    /// The same before the last attempt.
    since_before: Option<Timestamp>,
    /// The time of the last attempt, if it failed.
    failed_at: Option<Timestamp>,
    /// The newest snapshots, oldest first, with the version that each has. The one under way is
    /// among them.
    kept: VecDeque<(SequenceNr, VersionVector)>,
}

impl Snapshots {
    /// Begins with the newest stored snapshot, with its version.
    pub(super) fn new(stored: Option<(SequenceNr, VersionVector)>) -> Self {
        let last = stored.as_ref().map_or(SequenceNr::ZERO, |(number, _)| *number);
        let with = |stored| Box::new(Rare { kept: VecDeque::from([stored]), ..Rare::default() });
        Self {
            is_wanted: false,
            is_under_way: false,
            was_wanted: false,
            is_of_recovery: false,
            last,
            rare: stored.map(with),
        }
    }

    /// Takes note of a recovery up to `newest`. `since` is the time of the snapshot that it began
    /// with, or of the first event. Returns whether a snapshot is to be taken now.
    pub(super) fn recovered(
        &mut self,
        settings: &EntitySettings,
        (newest, now): (SequenceNr, Timestamp),
        since: Option<Timestamp>,
    ) -> bool {
        if let Some(since) = since
            && settings.snapshot_after_age > Duration::ZERO
        {
            // the time of an event may be that of a wrong clock elsewhere
            self.rare.get_or_insert_default().since = Some(since.min(now));
        }
        let (replayed, long) = (newest.value() - self.last.value(), settings.snapshot_after_replay);
        let is_old = self.is_old(settings, newest, now);
        self.is_wanted = long > 0 && replayed >= long;
        self.is_of_recovery = self.is_wanted && !is_old;
        self.is_wanted || is_old
    }

    /// Returns whether the last snapshot is older than `snapshot_after_age`, and an event has come
    /// since.
    fn is_old(&mut self, settings: &EntitySettings, newest: SequenceNr, now: Timestamp) -> bool {
        let age = settings.snapshot_after_age;
        if age == Duration::ZERO || newest == self.last {
            return false;
        }
        let since = *self.rare.get_or_insert_default().since.get_or_insert(now);
        now.is_ahead_of(since, age)
    }

    /// Returns whether a snapshot is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// Notes that the behaviour wants a snapshot.
    pub(super) fn want(&mut self, is_wanted: bool) {
        self.is_wanted |= is_wanted;
        if let Some(rare) = self.rare.as_mut().filter(|_| is_wanted) {
            rare.failed_at = None;
        }
    }

    /// Returns whether a snapshot is to be taken now.
    pub(super) fn is_due(
        &mut self,
        settings: &EntitySettings,
        newest: SequenceNr,
        now: Timestamp,
    ) -> bool {
        let (since, every) = (newest.value() - self.last.value(), settings.snapshot_every);
        let failed_at = self.rare.as_ref().and_then(|rare| rare.failed_at);
        let waits = failed_at.is_some_and(|at| !now.is_ahead_of(at, RETRY_AFTER));
        let has_reason = self.is_wanted || self.is_old(settings, newest, now);
        let is_due = (every > 0 && since >= every) || (has_reason && !waits);
        is_due && !self.is_under_way
    }

    /// Notes the attempt to take a snapshot up to this number.
    pub(super) fn attempted(&mut self, number: SequenceNr, now: Timestamp) {
        self.was_wanted = std::mem::take(&mut self.is_wanted);
        self.last = number;
        if let Some(rare) = &mut self.rare {
            rare.since_before = rare.since;
            rare.since = rare.since.map(|_| now);
        }
    }

    /// Notes that the last attempt failed. Returns whether it was one that the user asked for,
    /// which is tried again.
    pub(super) fn put_off(&mut self, now: Timestamp) -> bool {
        if std::mem::take(&mut self.is_of_recovery) {
            return false;
        }
        self.is_wanted |= self.was_wanted;
        let rare = self.rare.get_or_insert_default();
        rare.since = rare.since_before;
        rare.failed_at = Some(now);
        true
    }

    fn kept(&mut self) -> &mut VecDeque<(SequenceNr, VersionVector)> {
        &mut self.rare.get_or_insert_default().kept
    }

    /// Notes that the snapshot with this number and version will be stored.
    pub(super) fn begun(&mut self, number: SequenceNr, version: VersionVector) {
        assert!(!self.is_under_way, "a snapshot up to {number} while another one is under way");
        self.is_under_way = true;
        self.kept().push_back((number, version));
    }

    /// Notes that the snapshot under way was not stored.
    pub(super) fn failed(&mut self, number: SequenceNr) {
        self.end(number);
        self.kept().pop_back();
    }

    /// Notes that the snapshot under way was stored. Older snapshots are deleted, and with
    /// `delete_events` the events that every replica has according to `all_have`, if `deletable`
    /// says that none of them is needed here.
    pub(super) fn saved<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        number: SequenceNr,
        all_have: impl FnOnce(&VersionVector) -> bool,
        deletable: impl FnOnce(SequenceNr) -> SequenceNr,
        actions: &mut Vec<Action<E>>,
    ) {
        self.end(number);
        self.is_of_recovery = false;
        self.rare.get_or_insert_default().failed_at = None;
        let keep = usize::try_from(shared.settings.snapshots_keep).unwrap_or(usize::MAX);
        let kept = self.kept();
        while kept.len() > keep {
            kept.pop_front();
        }
        if kept.len() < keep {
            return;
        }
        let (oldest, version) = kept.front().expect("at least one is kept");
        assert!(
            *oldest <= number && *oldest > SequenceNr::ZERO,
            "`{}`: the oldest snapshot that is kept has number {oldest}, the newest {number}",
            shared.id
        );
        actions
            .push(Action::DeleteSnapshots(shared.generation, SequenceNr::new(oldest.value() - 1)));
        if shared.settings.delete_events && all_have(version) && deletable(*oldest) == *oldest {
            assert_eq!(version.event_count(), oldest.value(), "`{}`: events to delete", shared.id);
            actions.push(Action::DeleteEvents(shared.generation, *oldest));
        }
    }

    fn end(&mut self, number: SequenceNr) {
        assert!(self.is_under_way, "no snapshot was under way, and {number} has ended");
        let newest = self.kept().back().map(|(number, _)| *number);
        assert_eq!(newest, Some(number), "the snapshot that was under way");
        self.is_under_way = false;
    }

    /// Asserts that the snapshots are in order, and none is above `newest`.
    pub(super) fn check(&self, newest: SequenceNr) {
        if let Some(Rare { kept, .. }) = self.rare.as_deref() {
            assert!(kept.iter().is_sorted_by_key(|(number, _)| *number), "out of order");
            let last = kept.back();
            assert!(last.is_none_or(|(last, _)| *last <= newest), "a snapshot above {newest}");
            assert!(!self.is_under_way || last.is_some(), "one under way is among the kept ones");
        }
        assert!(self.last <= newest, "the last snapshot {} is above {newest}", self.last);
    }
}
