//! The snapshots of one entity: the time of the next one, and the kept ones.

use std::collections::VecDeque;

use super::Action;
use super::shared::Shared;
use crate::entity::EventSourced;
use crate::event::SequenceNr;
use crate::version::VersionVector;

/// The snapshots of one entity. At most one is under way.
pub(super) struct Snapshots {
    /// True when the behaviour wants a snapshot (`snapshot_when`).
    is_wanted: bool,
    is_under_way: bool,
    /// The number at which a snapshot was taken last, whether or not it was stored.
    last: SequenceNr,
    /// The newest snapshots, oldest first, with the version that each has. The one under way is
    /// among them.
    kept: VecDeque<(SequenceNr, VersionVector)>,
}

impl Snapshots {
    /// Begins with the newest stored snapshot, with its version.
    pub(super) fn new(stored: Option<(SequenceNr, VersionVector)>) -> Self {
        let last = stored.as_ref().map_or(SequenceNr::ZERO, |(number, _)| *number);
        Self { is_wanted: false, is_under_way: false, last, kept: stored.into_iter().collect() }
    }

    /// Notes that the behaviour wants a snapshot.
    pub(super) fn want(&mut self, is_wanted: bool) {
        self.is_wanted |= is_wanted;
    }

    /// Returns whether a snapshot is to be taken now.
    pub(super) fn is_due(&self, every: u64, newest: SequenceNr) -> bool {
        let since = newest.value() - self.last.value();
        let is_due = self.is_wanted || (every > 0 && since >= every);
        is_due && !self.is_under_way
    }

    /// Notes the attempt to take a snapshot up to this number.
    pub(super) fn attempted(&mut self, number: SequenceNr) {
        self.is_wanted = false;
        self.last = number;
    }

    /// Notes that the snapshot with this number and version will be stored.
    pub(super) fn begun(&mut self, number: SequenceNr, version: VersionVector) {
        assert!(!self.is_under_way, "a snapshot up to {number} while another one is under way");
        self.is_under_way = true;
        self.kept.push_back((number, version));
    }

    /// Notes that the snapshot under way was not stored.
    pub(super) fn failed(&mut self, number: SequenceNr) {
        self.end(number);
        self.kept.pop_back();
    }

    /// Notes that the snapshot under way was stored. Older snapshots are deleted, and with
    /// `delete_events` the events that every replica has according to `all_have`.
    pub(super) fn saved<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        number: SequenceNr,
        all_have: impl FnOnce(&VersionVector) -> bool,
        actions: &mut Vec<Action<E>>,
    ) {
        self.end(number);
        let keep = usize::try_from(shared.settings.snapshots_keep).unwrap_or(usize::MAX);
        while self.kept.len() > keep {
            self.kept.pop_front();
        }
        if self.kept.len() < keep {
            return;
        }
        let (oldest, version) = self.kept.front().expect("at least one is kept");
        assert!(
            *oldest <= number && *oldest > SequenceNr::ZERO,
            "`{}`: the oldest snapshot that is kept has number {oldest}, the newest {number}",
            shared.id
        );
        actions
            .push(Action::DeleteSnapshots(shared.generation, SequenceNr::new(oldest.value() - 1)));
        if shared.settings.delete_events && all_have(version) {
            assert_eq!(version.event_count(), oldest.value(), "`{}`: events to delete", shared.id);
            actions.push(Action::DeleteEvents(shared.generation, *oldest));
        }
    }

    fn end(&mut self, number: SequenceNr) {
        assert!(self.is_under_way, "no snapshot was under way, and {number} has ended");
        let newest = self.kept.back().map(|(number, _)| *number);
        assert_eq!(newest, Some(number), "the snapshot that was under way");
        self.is_under_way = false;
    }

    /// Asserts that the snapshots are in order, and none is above `newest`.
    pub(super) fn check(&self, newest: SequenceNr) {
        assert!(self.kept.iter().is_sorted_by_key(|(number, _)| *number), "out of order");
        let last = self.kept.back();
        assert!(last.is_none_or(|(last, _)| *last <= newest), "a snapshot above {newest}");
        assert!(self.last <= newest, "the last snapshot {} is above {newest}", self.last);
    }
}
