//! The kinds of events that a store has for one entity type, and the bound on them.
//!
//! A manifest that is made from data gives each event a kind of its own, and each kind a row. A row
//! is never deleted, so a kind that was stored once is always admitted again.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::Row;

/// Most kinds of events (manifest and version) of one entity type that a place records. Beyond, an
/// event of a further kind is rejected before it is stored. Kinds that were found when the type
/// started are not bounded: a release that names fixed kinds can always be started. Nodes that
/// record at the same moment can exceed the bound by one kind each.
pub const EVENT_KINDS_MAX: usize = 1000;

/// The versions of each manifest in a store.
#[derive(Debug)]
pub(super) struct StoredKinds(BTreeMap<Box<str>, BTreeSet<u16>>);

impl StoredKinds {
    /// The beginning of the key of each kind of event.
    pub(super) fn prefix(entity_type: &str) -> String {
        format!("event|{entity_type}|")
    }

    /// The kinds of an entity type, from the rows of the table.
    pub(super) fn of(entity_type: &str, rows: &[Row]) -> Self {
        let prefix = Self::prefix(entity_type);
        let mut kinds = BTreeMap::<Box<str>, BTreeSet<u16>>::new();
        for kind in rows.iter().filter_map(|row| row.key.strip_prefix(&*prefix)) {
            // a manifest may have the separator in it
            let mut parts = kind.rsplitn(3, '|').skip(1);
            if let (Some(version), Some(manifest)) = (parts.next(), parts.next())
                && let Ok(version) = version.parse()
            {
                kinds.entry(manifest.into()).or_default().insert(version);
            }
        }
        Self(kinds)
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.values().map(BTreeSet::len).sum::<usize>() >= EVENT_KINDS_MAX
    }

    pub(super) fn contains(&self, manifest: &str, version: u16) -> bool {
        self.0.get(manifest).is_some_and(|versions| versions.contains(&version))
    }
}
