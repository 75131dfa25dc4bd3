//! A checkpoint that ends with the process: for tests, and for dry runs, which save nothing.

use async_trait::async_trait;
use parking_lot::Mutex;

use super::store::CheckpointStore;
use crate::Result;
use crate::source::Position;

/// A position in memory.
#[derive(Debug, Default)]
pub struct MemoryCheckpoint(Mutex<Option<Position>>);

impl MemoryCheckpoint {
    /// Starts at a position.
    pub fn at(position: Option<Position>) -> Self {
        Self(Mutex::new(position))
    }
}

#[async_trait]
impl CheckpointStore for MemoryCheckpoint {
    async fn load(&self) -> Result<Option<Position>> {
        Ok(self.0.lock().clone())
    }

    async fn save(&self, position: &Position) -> Result<()> {
        *self.0.lock() = Some(position.clone());
        Ok(())
    }
}
