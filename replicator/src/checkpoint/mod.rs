//! The position from which a catch-up goes on after a restart.
//!
//! A checkpoint is the contiguous low watermark: every event up to it is at the destination, was
//! skipped, or was parked with a reason. The checkpoint is saved after the events and never before,
//! and it goes backwards only with its source; so after a crash an event may be read twice, but
//! none is missed.

mod destination;
pub(crate) mod durable;
mod file;
mod memory;
mod record;
mod store;

pub use destination::DestinationCheckpoint;
pub use file::FileCheckpoint;
pub use memory::MemoryCheckpoint;
pub use store::CheckpointStore;
