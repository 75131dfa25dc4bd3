//! Where a catch-up goes on after a restart.
//!
//! A checkpoint is the contiguous low watermark: every event up to it is at the destination, or was put aside with a reason. It is saved
//! after the events and never before, and it never goes backwards; so a crash leads to events being read twice, never to one being missed.

mod destination;
mod file;
mod memory;

use async_trait::async_trait;
pub use destination::DestinationCheckpoint;
pub use file::FileCheckpoint;
pub(crate) use file::file_name;
pub use memory::MemoryCheckpoint;

use crate::Result;
use crate::source::Position;

/// Keeps the position of one subscription.
///
/// # Contract
/// - `load` must return the last saved position, or an older one after a crash; none only when nothing was ever saved. It must never take
///   a checkpoint that cannot be read for none: that would start over silently.
/// - `save` must replace the old position as a whole or not at all, and be durable when it returns.
#[async_trait]
pub trait CheckpointStore: Send + Sync + 'static {
    /// The saved position.
    ///
    /// # Errors
    /// `Unavailable`, or `Corrupt` when it cannot be read.
    async fn load(&self) -> Result<Option<Position>>;

    /// Saves a position.
    ///
    /// # Errors
    /// `Unavailable`; the position is saved again later.
    async fn save(&self, position: &Position) -> Result<()>;
}
