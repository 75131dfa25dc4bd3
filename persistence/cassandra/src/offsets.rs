//! Stored positions of readers.

use antiphon_base::Result;
use antiphon_persistence::record::cell::{decode_position, encode_position};
use antiphon_persistence::store::{Offset, OffsetKey, OffsetStore};
use async_trait::async_trait;

use crate::damaged::damaged;
use crate::stores::CassandraStores;

#[async_trait]
impl OffsetStore for CassandraStores {
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset> {
        let record = self.tables().offset(&key.reader, &key.part).await?;
        let Some(record) = record else { return Ok(Offset::start()) };
        match decode_position(key, &record) {
            Ok(position) => Ok(Offset::new(position)),
            Err(why) => {
                let row = format!("reader `{}`, part `{}`", key.reader, key.part);
                Err(damaged("offsets", &row, why))
            }
        }
    }

    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()> {
        self.require_owner()?;
        let record = encode_position(key, offset.as_str());
        Ok(self.tables().put_offset(&key.reader, &key.part, &record).await?)
    }
}
