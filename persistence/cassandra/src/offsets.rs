//! Positions of readers.

use antiphon_persistence::Result;
use antiphon_persistence::store::{Offset, OffsetKey, OffsetStore};
use async_trait::async_trait;

use crate::stores::CassandraStores;

#[async_trait]
impl OffsetStore for CassandraStores {
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset> {
        let position = self.tables().offset(&key.reader, &key.part).await?;
        Ok(position.map_or_else(Offset::start, Offset::new))
    }

    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()> {
        self.require_owner()?;
        Ok(self.tables().put_offset(&key.reader, &key.part, offset.as_str()).await?)
    }
}
