//! A reader of the change feed that checks each page.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use antiphon_persistence::identity::{PersistenceId, SliceRange};
use antiphon_persistence::store::{Change, ChangesPage, ChangesQuery, Offset, ReadJournal, Stores};

use crate::Kit;
use crate::kit::{numbers, replica};

/// The numbers of the events that were covered, by stream.
pub(crate) type Covered = BTreeMap<PersistenceId, BTreeSet<u64>>;

#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) read_journal: Arc<dyn ReadJournal>,
    pub(crate) query: ChangesQuery,
    pub(crate) covered: Covered,
    /// True when numbers may be missing, because their events were deleted.
    pub(crate) gaps_allowed: bool,
    metadata: bool,
}

impl Follower {
    /// Follows the carts of DC-A from the start.
    pub(crate) fn new(kit: &Kit, stores: &Stores, change_count_max: usize) -> Self {
        Self {
            read_journal: stores.read_journal.clone(),
            query: ChangesQuery {
                entity_type: "cart".into(),
                replica: replica("DC-A"),
                slices: SliceRange::ALL,
                after: Offset::start(),
                change_count_max,
            },
            covered: Covered::new(),
            gaps_allowed: false,
            metadata: kit.capabilities.metadata,
        }
    }

    /// Reads a page, checks it, and moves on.
    pub(crate) async fn page(&mut self) -> ChangesPage {
        let page = self.read_journal.changes(&self.query).await.expect("changes");
        let count = page.changes.len();
        assert!(count <= self.query.count_max(), "{count} streams");
        let streams: BTreeSet<_> =
            page.changes.iter().map(|change| &change.persistence_id).collect();
        assert_eq!(streams.len(), page.changes.len(), "a stream is in a page once");
        if page.through == self.query.after {
            assert!(page.changes.is_empty() && !page.more, "the position must move: {page:?}");
        }
        for change in &page.changes {
            self.cover(change);
        }
        self.query.after = page.through.clone();
        page
    }

    fn cover(&mut self, change: &Change) {
        let covered = self.covered.entry(change.persistence_id.clone()).or_default();
        let before = covered.last().copied().unwrap_or(0);
        let highest = change.highest.value();
        let new: BTreeSet<u64> = if self.metadata {
            let number = |name: &str| name.trim_start_matches("event-").parse::<u64>();
            let seen = change.seen.iter().map(|(origin, _)| number(origin.as_str()));
            seen.collect::<Result<_, _>>().expect("only events of the kit are in the store")
        } else {
            (before + 1..=highest).collect()
        };
        assert_eq!(
            new.last(),
            Some(&highest),
            "the highest number that the page covers: {change:?}"
        );
        if self.gaps_allowed {
            assert!(new.first() > Some(&before), "twice: {change:?} after {before}");
        } else {
            let expected: BTreeSet<u64> = (before + 1..=highest).collect();
            assert_eq!(new, expected, "each event of `{}` once", change.persistence_id);
        }
        covered.extend(new);
    }

    /// Reads until a page has nothing new.
    pub(crate) async fn drain(&mut self) {
        loop {
            let page = self.page().await;
            if !page.more && page.changes.is_empty() {
                return;
            }
        }
    }

    /// Asserts that every remaining event of the requested streams was covered.
    pub(crate) async fn assert_covers_all(&self, kit: &Kit) {
        let all = kit.stores.read_journal.persistence_ids(&self.query.entity_type, None, 10_000);
        for id in all.await.expect("ids") {
            if !id.as_str().ends_with(&format!("|{}", self.query.replica)) {
                continue;
            }
            let stored = numbers(&kit.replay_all(&id).await);
            let covered = self.covered.get(&id).cloned().unwrap_or_default();
            let missing: Vec<_> = stored.iter().filter(|nr| !covered.contains(nr)).collect();
            assert!(missing.is_empty(), "the feed never named {missing:?} of `{id}`");
        }
    }
}
