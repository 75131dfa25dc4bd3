//! A page of the change feed: the changes of each stream in the rounds of a lane, merged into one
//! change.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::store::{Change, ChangesQuery};
use antiphon_persistence::version::VersionVector;

use crate::log::entry::Entry;

/// The changes of a page while they are collected.
pub(super) struct Page<'a> {
    query: &'a ChangesQuery,
    pub(super) changes: Vec<Change>,
    index: BTreeMap<Arc<str>, usize>,
}

impl<'a> Page<'a> {
    /// An empty page.
    pub(super) fn new(query: &'a ChangesQuery) -> Self {
        Self { query, changes: Vec::new(), index: BTreeMap::new() }
    }

    /// Adds the entries of a round from `done` on. Returns the index of the first entry without
    /// room when the page is full.
    pub(super) fn add(&mut self, entries: &[Entry], done: usize) -> Option<usize> {
        for (at, entry) in entries.iter().enumerate().skip(done) {
            if !self.wanted(&entry.stream.id) {
                continue;
            }
            let index = match self.index.get(&entry.stream.name) {
                Some(index) => *index,
                None if self.changes.len() >= self.query.change_count_max.max(1) => {
                    return Some(at);
                }
                None => {
                    let index = self.changes.len();
                    self.changes.push(Change {
                        persistence_id: entry.stream.id.persistence_id(),
                        highest: SequenceNr::ZERO,
                        seen: VersionVector::new(),
                    });
                    self.index.insert(entry.stream.name.clone(), index);
                    index
                }
            };
            let change = &mut self.changes[index];
            change.highest = change.highest.max(SequenceNr::new(entry.last));
            change.seen.merge(&entry.seen);
        }
        None
    }

    /// Returns whether the query asks for a stream.
    pub(super) fn wanted(&self, stream: &ReplicationId) -> bool {
        *stream.entity_type() == self.query.entity_type
            && *stream.replica_id() == self.query.replica
            && self.query.slices.contains(stream.slice())
    }
}
