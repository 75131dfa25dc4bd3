//! The rule of a page of the change feed, the same in every store.
//!
//! A store walks the entries after the position of the query, in the order of its feed, and gives
//! the page each entry that the query [wants](ChangesQuery::wants):
//!
//! - A page has each stream once. Further entries of the stream raise the number of its change and
//!   add to its versions.
//! - A page has at most [`count_max`](ChangesQuery::count_max) streams, and at least one if there
//!   is a change: a `change_count_max` of zero counts as one, so that a reader always goes on. A
//!   change has no payload, so a page needs no limit of bytes.
//! - An entry of a stream that is in the page always has room. The first entry of another stream
//!   that finds the page full ends the page: the position after the page lies before this entry,
//!   and the page says that there is more.
//! - The changes have the order of their first entries.
//! - A caller goes on from `through`: at once if there is more, else when it asks next.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Change, ChangesPage, ChangesQuery, Offset};
use crate::event::SequenceNr;
use crate::identity::{PersistenceId, ReplicationId};
use crate::version::VersionVector;

impl ChangesQuery {
    /// Returns whether the stream is in the part of the feed that is asked for.
    pub fn wants(&self, stream: &ReplicationId) -> bool {
        *stream.entity_type() == self.entity_type
            && *stream.replica_id() == self.replica
            && self.slices.contains(stream.slice())
    }

    /// Most streams in the page: `change_count_max`, and at least one.
    pub fn count_max(&self) -> usize {
        self.change_count_max.max(1)
    }
}

/// A page of the change feed while a store collects it. `K` is the key by which the store knows a
/// stream.
///
/// ```
/// use antiphon_persistence::event::SequenceNr;
/// use antiphon_persistence::identity::{PersistenceId, ReplicaId, SliceRange};
/// use antiphon_persistence::store::{ChangesQuery, FeedPage, Offset, Room};
/// use antiphon_persistence::version::VersionVector;
///
/// let query = ChangesQuery {
///     entity_type: "cart".into(),
///     replica: ReplicaId::new("DC-A")?,
///     slices: SliceRange::ALL,
///     after: Offset::start(),
///     change_count_max: 1,
/// };
/// let feed = [("cart|c-1|DC-A", 1), ("cart|c-1|DC-A", 2), ("cart|c-2|DC-A", 1)];
///
/// let mut page = FeedPage::new(&query);
/// let mut through = 0;
/// for (name, number) in feed {
///     let id = || PersistenceId::parse(name).expect("the name of a stream");
///     if page.add(name, id, SequenceNr::new(number), &VersionVector::new()) == Room::Full {
///         break;
///     }
///     through += 1;
/// }
/// let page = page.finish(Offset::new(through.to_string()), false);
/// assert_eq!((page.changes.len(), page.through.as_str(), page.more), (1, "2", true));
/// assert_eq!(page.changes[0].highest, SequenceNr::new(2));
/// # Ok::<(), antiphon_base::Error>(())
/// ```
#[derive(Debug)]
pub struct FeedPage<K> {
    count_max: usize,
    changes: Vec<Change>,
    /// The index of each stream in `changes`.
    streams: BTreeMap<K, usize>,
    is_full: bool,
}

/// The answer of a page to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an entry that had no room must not be passed over"]
pub enum Room {
    /// The page covers the entry.
    Taken,
    /// The page does not cover the entry, and takes no further entry.
    Full,
}

impl<K: Ord> FeedPage<K> {
    /// An empty page for a query.
    pub fn new(query: &ChangesQuery) -> Self {
        Self {
            count_max: query.count_max(),
            changes: Vec::new(),
            streams: BTreeMap::new(),
            is_full: false,
        }
    }

    /// Adds an entry of a wanted stream: events up to `last`, whose merged versions are `seen`. The
    /// id is asked for once for each stream.
    ///
    /// # Panics
    /// If the page was full before: the store would pass over an entry.
    pub fn add(
        &mut self,
        key: K,
        id: impl FnOnce() -> PersistenceId,
        last: SequenceNr,
        seen: &VersionVector,
    ) -> Room {
        assert!(!self.is_full, "an entry after the end of a page would be passed over");
        match self.streams.entry(key) {
            Entry::Occupied(index) => {
                let change = &mut self.changes[*index.get()];
                change.highest = change.highest.max(last);
                change.seen.merge(seen);
            }
            Entry::Vacant(_) if self.changes.len() >= self.count_max => {
                self.is_full = true;
                return Room::Full;
            }
            Entry::Vacant(vacant) => {
                vacant.insert(self.changes.len());
                let seen = seen.clone();
                self.changes.push(Change { persistence_id: id(), highest: last, seen });
            }
        }
        Room::Taken
    }

    /// The page up to `through`, which lies before the entry that had no room. `is_more` says
    /// whether the feed goes on after the entries that the store has looked at.
    ///
    /// # Panics
    /// If the page breaks its rule, which is a bug.
    pub fn finish(self, through: Offset, is_more: bool) -> ChangesPage {
        let Self { count_max, changes, streams, is_full } = self;
        assert!(changes.len() <= count_max, "{} streams in a page of {count_max}", changes.len());
        assert_eq!(changes.len(), streams.len(), "a page has each stream once");
        assert!(!is_full || changes.len() == count_max, "a page that is full has room");
        ChangesPage { changes, through, more: is_full || is_more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{ReplicaId, SliceRange};

    fn query(change_count_max: usize) -> ChangesQuery {
        ChangesQuery {
            entity_type: "cart".into(),
            replica: ReplicaId::new("A").unwrap(),
            slices: SliceRange::ALL,
            after: Offset::start(),
            change_count_max,
        }
    }

    /// Adds an entry for each name, and returns the page up to the entry that had no room.
    fn page(change_count_max: usize, names: &[&str]) -> (Vec<(String, u64)>, bool) {
        let mut page = FeedPage::new(&query(change_count_max));
        for (number, name) in (1..).zip(names) {
            let id = || PersistenceId::parse(format!("cart|{name}|A")).unwrap();
            if page.add(*name, id, SequenceNr::new(number), &VersionVector::new()) == Room::Full {
                break;
            }
        }
        let ChangesPage { changes, more, .. } = page.finish(Offset::new("x"), false);
        let change = |change: Change| (change.persistence_id.to_string(), change.highest.value());
        (changes.into_iter().map(change).collect(), more)
    }

    #[test]
    fn a_page_ends_before_the_first_stream_without_room() {
        let one = |name: &str, highest| (format!("cart|{name}|A"), highest);
        assert_eq!(page(2, &["b", "a", "b"]), (vec![one("b", 3), one("a", 2)], false));
        assert_eq!(page(2, &["b", "a", "c", "b"]), (vec![one("b", 1), one("a", 2)], true));
        assert_eq!(page(2, &[]), (Vec::new(), false));
    }

    #[test]
    fn a_page_of_no_stream_is_a_page_of_one() {
        assert_eq!(page(0, &["a", "a", "b"]), page(1, &["a", "a", "b"]));
        assert_eq!(page(0, &["a", "b"]).0.len(), 1);
    }

    #[test]
    #[should_panic(expected = "would be passed over")]
    fn a_full_page_takes_no_entry_of_a_stream_that_it_has() {
        let mut full = FeedPage::new(&query(1));
        let id = || PersistenceId::parse("cart|a|A").unwrap();
        for name in ["a", "b", "a"] {
            let _ = full.add(name, id, SequenceNr::new(1), &VersionVector::new());
        }
    }
}
