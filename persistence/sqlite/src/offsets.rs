//! Stored positions of readers.

use antiphon_base::Result;
use antiphon_persistence::record::cell::{decode_position, encode_position};
use antiphon_persistence::store::{Offset, OffsetKey, OffsetStore};
use async_trait::async_trait;
use rusqlite::OptionalExtension;

use crate::record_error::Unread;
use crate::stores::SqliteStores;

#[async_trait]
impl OffsetStore for SqliteStores {
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset> {
        let key = key.clone();
        let position: Option<String> = self
            .read("reading an offset", move |transaction| {
                let record: Option<String> = transaction
                    .prepare_cached("SELECT position FROM offsets WHERE reader = ?1 AND part = ?2")?
                    .query_row([&key.reader, &key.part], |row| row.get(0))
                    .optional()?;
                let Some(record) = record else { return Ok(None) };
                match decode_position(&key, &record) {
                    Ok(position) => Ok(Some(position.to_owned())),
                    Err(why) => Err(Unread::Row(format!(
                        "table `offsets`, reader `{}`, part `{}`: {why}",
                        key.reader, key.part
                    ))),
                }
            })
            .await?;
        Ok(position.map_or_else(Offset::start, Offset::new))
    }

    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()> {
        let (key, record) = (key.clone(), encode_position(key, offset.as_str()));
        self.writer()?
            .run(move |connection| {
                connection
                    .prepare_cached("INSERT OR REPLACE INTO offsets VALUES (?1, ?2, ?3)")?
                    .execute([&*key.reader, &*key.part, &*record])?;
                Ok(())
            })
            .await
    }
}
