//! The state of the place's journal as a node knows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::session::{Accepted, Doubt, SessionRow};

/// The state of the place's journal as a node knows it.
#[derive(Debug, Clone, Default)]
pub struct Continuity {
    pub(super) row: Option<SessionRow>,
    pub(super) unreachable: BTreeMap<Arc<str>, String>,
}

impl Continuity {
    /// The number of the session; zero while it is not known.
    pub fn session(&self) -> u64 {
        self.row.as_ref().map_or(0, |row| row.number)
    }

    /// The doubt about the own events at another place; `None` when no event can be missing. While
    /// the session is not known, every place is in doubt, and no shard is sure.
    pub fn doubt(&self, place: &str) -> Option<Doubt> {
        match &self.row {
            Some(row) => row.doubts.get(place).copied(),
            None => Some(Doubt { since: u64::MAX, kind: None, back_since: 0, unread: true }),
        }
    }

    /// All doubts, by place.
    pub fn doubts(&self) -> BTreeMap<String, Doubt> {
        self.row.as_ref().map(|row| row.doubts.clone()).unwrap_or_default()
    }

    /// The losses that an operator accepted, by place.
    pub fn accepted(&self) -> BTreeMap<String, Accepted> {
        self.row.as_ref().map(|row| row.accepted.clone()).unwrap_or_default()
    }

    /// The reason why the store of another place could not be read at the last try.
    pub fn unreachable(&self, place: &str) -> Option<&str> {
        self.unreachable.get(place).map(String::as_str)
    }
}
