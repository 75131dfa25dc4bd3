//! The rules of coordination tables: versions of rows, and fencing tokens that never sink.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::store::{CasOutcome, FencedOutcome, FencingToken, Row, RowVersion, TableRows};

#[derive(Debug, Clone, Default)]
pub(super) struct CoordinationState {
    tables: BTreeMap<Arc<str>, Table>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    token: FencingToken,
    rows: BTreeMap<Arc<str>, Row>,
}

impl CoordinationState {
    /// The table, if it was ever written.
    pub(super) fn get(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// The table, to write it.
    pub(super) fn table(&mut self, name: &str) -> &mut Table {
        self.tables.entry(name.into()).or_default()
    }
}

impl Table {
    /// All rows, sorted by key, and the token.
    pub(super) fn scan(&self) -> TableRows {
        TableRows { token: self.token, rows: self.rows.values().cloned().collect() }
    }

    /// The row with this key.
    pub(super) fn row(&self, key: &str) -> Option<&Row> {
        self.rows.get(key)
    }

    /// Changes, creates or deletes a row, if it has the expected version.
    pub(super) fn compare_and_set(
        &mut self,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> CasOutcome {
        let actual = self.rows.get(key);
        if actual.map(|row| row.version) != expected {
            return CasOutcome::Conflict(actual.cloned());
        }
        CasOutcome::Applied(self.put(key, value))
    }

    /// Raises the token, and returns the token afterwards.
    pub(super) fn raise(&mut self, token: FencingToken) -> FencingToken {
        let before = self.token;
        self.token = self.token.max(token);
        assert!(self.token >= before && self.token >= token, "a fencing token went back");
        self.token
    }

    /// Writes rows, unless the table has a newer token.
    pub(super) fn put_fenced(
        &mut self,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> FencedOutcome {
        if self.token > token {
            return FencedOutcome::Refused(self.token);
        }
        assert_eq!(self.raise(token), token, "the token of a fenced write is the table's");
        for (key, value) in rows {
            self.put(key, value.clone());
        }
        FencedOutcome::Applied
    }

    /// Writes or deletes a row and returns its new version, zero when the row is deleted.
    fn put(&mut self, key: &str, value: Option<Bytes>) -> RowVersion {
        let Some(value) = value else {
            self.rows.remove(key);
            return 0;
        };
        let version = self.rows.get(key).map_or(0, |row| row.version) + 1;
        let key: Arc<str> = key.into();
        let before = self.rows.insert(key.clone(), Row { key, version, value });
        assert_eq!(before.map_or(0, |row| row.version) + 1, version, "a row's version skips one");
        version
    }
}
