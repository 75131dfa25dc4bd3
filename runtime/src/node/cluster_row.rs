//! The row that says which cluster and place a store belongs to. The first node writes it; each
//! later node compares it, also when it only reads the store.

use antiphon_persistence::store::{CasOutcome, Coordination, Row};
use serde::{Deserialize, Serialize};

use super::NodeSettings;
use super::places::encode;
use crate::{Error, Result};

const TABLE: &str = "cluster";
const KEY: &str = "cluster";

/// Table and key of the row that says which cluster and place a store belongs to, for
/// [`check_cluster_row`].
pub const CLUSTER_ROW: (&str, &str) = (TABLE, KEY);

/// Compares the row of a place's store with the row that a node with these settings expects, as the
/// start of the node does.
///
/// # Errors
/// `Rejected`, naming the setting, when the store belongs elsewhere; `Corrupt`.
pub fn check_cluster_row(settings: &NodeSettings, place: &str, row: &Row) -> Result<()> {
    ClusterRow::of(settings, place).compare(row)
}

/// The version of the rows of this table and its neighbours.
const FORMAT: u32 = 1;

/// The cluster, the place and the number of shards of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClusterRow {
    name: String,
    place: String,
    shard_count: u32,
    format: u32,
}

impl ClusterRow {
    /// The row that this node expects in the store of a place.
    pub(super) fn of(settings: &NodeSettings, place: &str) -> Self {
        Self {
            name: settings.cluster_name.clone(),
            place: place.to_owned(),
            shard_count: settings.shard_count,
            format: FORMAT,
        }
    }

    /// Writes the row into a store that has none, and compares it otherwise.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, when the store belongs elsewhere; `Corrupt`; errors of the
    /// store.
    pub(super) async fn claim(&self, store: &dyn Coordination) -> Result<()> {
        match store.compare_and_set(TABLE, KEY, None, Some(encode(self))).await? {
            CasOutcome::Applied(_) | CasOutcome::Conflict(None) => Ok(()),
            CasOutcome::Conflict(Some(row)) => self.compare(&row),
        }
    }

    /// Compares the row of a store that is only read; false while the store has no row, because no
    /// node has used it.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub(super) async fn verify(&self, store: &dyn Coordination) -> Result<bool> {
        match store.read(TABLE, KEY).await? {
            Some(row) => self.compare(&row).map(|()| true),
            None => Ok(false),
        }
    }

    fn compare(&self, row: &Row) -> Result<()> {
        let stored: Self = serde_json::from_slice(&row.value).map_err(|error| {
            Error::corrupt(format!("the store's `cluster` row cannot be read: {error}"))
        })?;
        if stored.format > FORMAT {
            return Err(Error::rejected(format!(
                "the store has format {}: expected at most {FORMAT}: it was written by a newer version",
                stored.format
            )));
        }
        let quoted = |text: &String| format!("{text:?}");
        for (setting, stored, expected) in [
            ("cluster_name", quoted(&stored.name), quoted(&self.name)),
            ("place", quoted(&stored.place), quoted(&self.place)),
            ("shard_count", stored.shard_count.to_string(), self.shard_count.to_string()),
        ] {
            if stored != expected {
                return Err(Error::rejected(format!(
                    "`{setting}`: expected {expected}, as configured, actual {stored} in the store: use the store that was made with this setting, or the setting of this store"
                )));
            }
        }
        Ok(())
    }
}
