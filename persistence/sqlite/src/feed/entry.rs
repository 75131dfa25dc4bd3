//! An entry of the feed, and the rows that one read gives.

use std::sync::Arc;

use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::version::VersionVector;

/// A batch in the feed.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) ordinal: i64,
    pub(super) checksum: i64,
    pub(super) stream: Arc<ReplicationId>,
    pub(super) last: i64,
    pub(super) seen: VersionVector,
}

/// A stream, with its replication id and its name.
pub(super) type Named = (Arc<ReplicationId>, Arc<str>);

/// The rows after a position, in the order of the feed.
pub(super) struct Rows {
    pub(super) entries: Vec<Entry>,
    pub(super) through: i64,
    pub(super) more: bool,
    /// Replacements of the file before these rows were read.
    pub(super) replacements: u64,
}
