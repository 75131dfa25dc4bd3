//! The contract of a store of checkpoints.

use async_trait::async_trait;

use crate::Result;
use crate::source::Bookmark;

/// Keeps the position of one subscription.
///
/// # Contract
/// - `load` must return the last saved position, or an older one after a crash; `None` only when
///   nothing was ever saved. A checkpoint that cannot be read must be an error: taken for `None`,
///   the subscription would start over silently.
/// - `save` must replace the old position as a whole or not at all, and be durable when it returns.
///   It must take a position before the saved one only when the source went back.
/// - Stores of different names must never share a position, however alike the names are.
#[async_trait]
pub trait CheckpointStore: Send + Sync + 'static {
    /// The saved position; `None` without one. A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`, or `Corrupt` when the checkpoint cannot be read.
    async fn load(&self) -> Result<Option<Bookmark>>;

    /// Saves a position. A cancelled call may have saved it.
    ///
    /// # Errors
    /// `Unavailable`; the position is saved again later.
    async fn save(&self, bookmark: &Bookmark) -> Result<()>;
}
