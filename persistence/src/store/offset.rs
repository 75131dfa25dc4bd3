//! Positions of readers.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Result;

/// A position in a change feed. Only the store that returned it can read it; other code cannot
/// compare positions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offset(Arc<str>);

impl Offset {
    /// The position before the first change.
    pub fn start() -> Self {
        Self("".into())
    }

    /// A position from the text form that its store wrote.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// Returns whether this is the position before the first change.
    pub fn is_start(&self) -> bool {
        self.0.is_empty()
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Offset {
    fn default() -> Self {
        Self::start()
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_start() { "start" } else { &self.0 })
    }
}

/// The reader of a feed and the part that it reads: for example `replication/counter/DC-A<-DC-B`
/// and `slices 0..16`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OffsetKey {
    /// The reader.
    pub reader: Arc<str>,
    /// The part of the feed.
    pub part: Arc<str>,
}

/// Durable positions.
///
/// # Contract
/// - `load_offset` must return the position that the last `save_offset` of the key stored, or the
///   start.
/// - A damaged position must be found when it is loaded: the call fails with `Corrupt`, naming
///   reader and part.
/// - `save_offset` must be durable when it returns, or may be lost by a crash as a whole: an older
///   position may come back, never another one.
///
/// # Example
/// ```
/// use antiphon_persistence::memory::MemoryStores;
/// use antiphon_persistence::store::{Offset, OffsetKey};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let offsets = MemoryStores::new().stores().offsets;
/// let key = OffsetKey { reader: "report".into(), part: "slices 0..16".into() };
/// assert_eq!(offsets.load_offset(&key).await?, Offset::start());
/// offsets.save_offset(&key, &Offset::new("17@2f")).await?;
/// assert_eq!(offsets.load_offset(&key).await?, Offset::new("17@2f"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[async_trait]
pub trait OffsetStore: Send + Sync + 'static {
    /// The stored position, or [`Offset::start`].
    ///
    /// A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset>;

    /// Stores a position.
    ///
    /// A cancelled call may store the position, at once or later, or not: a position that is saved
    /// meanwhile may then be replaced by the older one.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`.
    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()>;
}
