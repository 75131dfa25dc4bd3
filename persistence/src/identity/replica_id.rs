//! The name of a place that holds a replica.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::names::check_replica;
use crate::Result;

/// A place: region, data centre or zone. Cheap to clone: a name of up to 23 bytes needs no
/// allocation, so that the copy in each event is plain bytes without a reference count.
///
/// The [empty](ReplicaId::empty) id means "the entity from before replication", so that an existing
/// entity can be migrated together with its events.
///
/// ```
/// use antiphon_persistence::identity::ReplicaId;
///
/// assert_eq!(ReplicaId::new("DC-A").unwrap().as_str(), "DC-A");
/// assert!(ReplicaId::new("a|b").is_err());
/// assert!(ReplicaId::empty().is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Arc<str>", into = "Arc<str>")]
pub struct ReplicaId(SmolStr);

impl ReplicaId {
    /// The replica named `name`.
    ///
    /// # Errors
    /// `Rejected` when the name is empty, contains `|` or a control character, or is too long.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        check_replica(name.as_ref())?;
        Ok(Self(name.as_ref().into()))
    }

    /// The replica id of the entity from before replication.
    pub fn empty() -> Self {
        Self(SmolStr::default())
    }

    /// Returns whether this is [`ReplicaId::empty`].
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Arc<str>> for ReplicaId {
    type Error = crate::Error;

    fn try_from(name: Arc<str>) -> Result<Self> {
        if name.is_empty() { Ok(Self::empty()) } else { Self::new(name) }
    }
}

impl From<ReplicaId> for Arc<str> {
    fn from(replica: ReplicaId) -> Self {
        replica.0.into()
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
