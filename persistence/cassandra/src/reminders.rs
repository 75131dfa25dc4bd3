//! Reminders by their due time.

use antiphon_base::time::Timestamp;
use antiphon_base::{Error, Result};
use antiphon_persistence::store::{ReminderRow, ReminderStore};
use async_trait::async_trait;

use crate::stores::CassandraStores;

fn missing() -> Error {
    Error::rejected("reminders on Cassandra come with the next commit")
}

#[async_trait]
impl ReminderStore for CassandraStores {
    async fn put(&self, _: &[ReminderRow]) -> Result<()> {
        Err(missing())
    }

    async fn remove(&self, _: &[ReminderRow]) -> Result<()> {
        Err(missing())
    }

    async fn contains(&self, _: &ReminderRow) -> Result<bool> {
        Err(missing())
    }

    async fn due(
        &self,
        _: &str,
        _: Timestamp,
        _: Option<&ReminderRow>,
        _: usize,
    ) -> Result<Vec<ReminderRow>> {
        Ok(Vec::new())
    }
}
