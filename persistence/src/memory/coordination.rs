//! [`Coordination`] in memory: each call is one critical section.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::MemoryStores;
use super::tables::Table;
use crate::Result;
use crate::store::{
    CasOutcome, Coordination, FencedOutcome, FencingToken, Row, RowVersion, TableRows,
};

#[async_trait]
impl Coordination for MemoryStores {
    async fn scan(&self, table: &str) -> Result<TableRows> {
        let state = self.lock();
        Ok(state.coordination.get(table).map_or_else(TableRows::default, Table::scan))
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        let state = self.lock();
        let table = state.coordination.get(table);
        Ok(table.and_then(|table| table.row(key)).cloned())
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        Ok(self.lock().coordination.table(table).compare_and_set(key, expected, value))
    }

    async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken> {
        Ok(self.lock().coordination.table(table).raise(token))
    }

    async fn put_fenced(
        &self,
        table: &str,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        Ok(self.lock().coordination.table(table).put_fenced(token, rows))
    }
}
