//! A checkpoint that ends with the process: for tests, and for dry runs, which save nothing.

use async_trait::async_trait;
use parking_lot::Mutex;

use super::store::CheckpointStore;
use crate::Result;
use crate::source::Bookmark;

/// A position in memory.
#[derive(Debug, Default)]
pub struct MemoryCheckpoint(Mutex<Option<Bookmark>>);

impl MemoryCheckpoint {
    /// Starts at a position.
    pub fn at(bookmark: Option<Bookmark>) -> Self {
        Self(Mutex::new(bookmark))
    }
}

#[async_trait]
impl CheckpointStore for MemoryCheckpoint {
    async fn load(&self) -> Result<Option<Bookmark>> {
        Ok(self.0.lock().clone())
    }

    async fn save(&self, bookmark: &Bookmark) -> Result<()> {
        *self.0.lock() = Some(bookmark.clone());
        Ok(())
    }
}
