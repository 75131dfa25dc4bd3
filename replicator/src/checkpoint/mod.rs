//! The position from which a catch-up goes on after a restart.
//!
//! A checkpoint is the contiguous low watermark: every event up to it is at the destination, was
//! skipped, or was parked with a reason. The checkpoint is saved after the events and never before,
//! and it never goes backwards; so after a crash an event may be read twice, but none is missed.

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
/// - `load` must return the last saved position, or an older one after a crash; `None` only when
///   nothing was ever saved. A checkpoint that cannot be read must be an error: taken for `None`,
///   the subscription would start over silently.
/// - `save` must replace the old position as a whole or not at all, and be durable when it returns.
#[async_trait]
pub trait CheckpointStore: Send + Sync + 'static {
    /// The saved position; `None` without one.
    ///
    /// # Errors
    /// `Unavailable`, or `Corrupt` when the checkpoint cannot be read.
    async fn load(&self) -> Result<Option<Position>>;

    /// Saves a position.
    ///
    /// # Errors
    /// `Unavailable`; the position is saved again later.
    async fn save(&self, position: &Position) -> Result<()>;
}
