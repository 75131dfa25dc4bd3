//! The name of one stream of events in a journal.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::names;
use crate::{Error, Result};

/// The key of a stream: the text form of a [`ReplicationId`](super::ReplicationId). Cheap to clone.
///
/// ```
/// use antiphon_persistence::identity::{PersistenceId, ReplicationId};
///
/// let stream = PersistenceId::parse("cart|c-1|DC-A")?;
/// assert_eq!(stream, ReplicationId::parse("cart|c-1|DC-A")?.persistence_id());
/// assert!(PersistenceId::parse("cart").is_err());
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Arc<str>", into = "Arc<str>")]
pub struct PersistenceId(Arc<str>);

impl PersistenceId {
    /// Reads the text form, `type|entity` or `type|entity|replica`.
    ///
    /// # Errors
    /// `Rejected` when a part is missing, empty or not allowed.
    pub fn parse(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        names::parts(text)?;
        Ok(Self(text.into()))
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn from_checked(text: String) -> Self {
        Self(text.into())
    }
}

impl TryFrom<Arc<str>> for PersistenceId {
    type Error = Error;

    fn try_from(text: Arc<str>) -> Result<Self> {
        Self::parse(text)
    }
}

impl From<PersistenceId> for Arc<str> {
    fn from(id: PersistenceId) -> Self {
        id.0
    }
}

impl fmt::Display for PersistenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
