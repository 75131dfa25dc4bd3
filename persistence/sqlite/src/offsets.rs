//! Positions of readers.

use antiphon_persistence::Result;
use antiphon_persistence::store::{Offset, OffsetKey, OffsetStore};
use async_trait::async_trait;
use rusqlite::OptionalExtension;

use crate::stores::SqliteStores;

#[async_trait]
impl OffsetStore for SqliteStores {
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset> {
        let key = key.clone();
        let position: Option<String> = self
            .read("reading an offset", move |transaction| {
                let position = transaction
                    .prepare_cached("SELECT position FROM offsets WHERE reader = ?1 AND part = ?2")?
                    .query_row([&key.reader, &key.part], |row| row.get(0))
                    .optional()?;
                Ok(position)
            })
            .await?;
        Ok(position.map_or_else(Offset::start, Offset::new))
    }

    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()> {
        let (key, offset) = (key.clone(), offset.clone());
        self.writer()?
            .run(move |connection| {
                connection
                    .prepare_cached("INSERT OR REPLACE INTO offsets VALUES (?1, ?2, ?3)")?
                    .execute([&*key.reader, &*key.part, offset.as_str()])?;
                Ok(())
            })
            .await
    }
}
