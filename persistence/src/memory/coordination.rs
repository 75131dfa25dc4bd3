//! Coordination tables in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::MemoryStores;
use crate::Result;
use crate::store::{
    CasOutcome, Coordination, FencedOutcome, FencingToken, Row, RowVersion, TableRows,
};

#[derive(Debug, Clone, Default)]
pub(super) struct CoordinationState {
    tables: BTreeMap<Arc<str>, Table>,
}

#[derive(Debug, Clone, Default)]
struct Table {
    token: FencingToken,
    rows: BTreeMap<Arc<str>, Row>,
}

impl CoordinationState {
    fn table(&mut self, name: &str) -> &mut Table {
        self.tables.entry(name.into()).or_default()
    }
}

impl Table {
    /// Writes or deletes a row and returns its new version, zero when the row is deleted.
    fn put(&mut self, key: &str, value: Option<Bytes>) -> RowVersion {
        let Some(value) = value else {
            self.rows.remove(key);
            return 0;
        };
        let version = self.rows.get(key).map_or(0, |row| row.version) + 1;
        let key: Arc<str> = key.into();
        self.rows.insert(key.clone(), Row { key, version, value });
        version
    }
}

#[async_trait]
impl Coordination for MemoryStores {
    async fn scan(&self, table: &str) -> Result<TableRows> {
        let state = self.lock();
        let Some(table) = state.coordination.tables.get(table) else {
            return Ok(TableRows::default());
        };
        Ok(TableRows { token: table.token, rows: table.rows.values().cloned().collect() })
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        let state = self.lock();
        let table = state.coordination.tables.get(table);
        Ok(table.and_then(|table| table.rows.get(key)).cloned())
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        let mut state = self.lock();
        let table = state.coordination.table(table);
        let actual = table.rows.get(key);
        if actual.map(|row| row.version) != expected {
            return Ok(CasOutcome::Conflict(actual.cloned()));
        }
        Ok(CasOutcome::Applied(table.put(key, value)))
    }

    async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken> {
        let mut state = self.lock();
        let table = state.coordination.table(table);
        table.token = table.token.max(token);
        Ok(table.token)
    }

    async fn put_fenced(
        &self,
        table: &str,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        let mut state = self.lock();
        let table = state.coordination.table(table);
        if table.token > token {
            return Ok(FencedOutcome::Refused(table.token));
        }
        table.token = token;
        for (key, value) in rows {
            table.put(key, value.clone());
        }
        Ok(FencedOutcome::Applied)
    }
}
