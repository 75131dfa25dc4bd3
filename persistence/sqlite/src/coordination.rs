//! Coordination tables: rows with versions, and a fencing token a table.

use std::sync::Arc;

use antiphon_persistence::Result;
use antiphon_persistence::store::{
    CasOutcome, Coordination, FencedOutcome, FencingToken, Row, RowVersion, TableRows,
};
use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::stores::SqliteStores;

#[async_trait]
impl Coordination for SqliteStores {
    fn replacements(&self) -> u64 {
        self.inner.readers.replacements()
    }

    async fn scan(&self, table: &str) -> Result<TableRows> {
        let table = table.to_owned();
        self.read("reading a coordination table", move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT cell_key, version, value FROM cells WHERE cell_table = ?1 ORDER BY cell_key",
            )?;
            let rows = statement
                .query_map([&table], |row| row_of(row.get(0)?, row.get(1)?, row.get(2)?))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(TableRows { token: token(transaction, &table)?, rows })
        })
        .await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        let (table, key) = (table.to_owned(), key.to_owned());
        Self::read(self, "reading a coordination row", move |t| Ok(cell(t, &table, &key)?)).await
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        let (table, key) = (table.to_owned(), key.to_owned());
        self.writer()?
            .run(move |connection| {
                let row = cell(connection, &table, &key)?;
                let actual = row.as_ref().map(|row| row.version);
                if actual != expected {
                    return Ok(CasOutcome::Conflict(row));
                }
                put(connection, &table, &key, actual, value.as_deref()).map(CasOutcome::Applied)
            })
            .await
    }

    async fn raise_token(&self, table: &str, to: FencingToken) -> Result<FencingToken> {
        let table = table.to_owned();
        self.writer()?
            .run(move |connection| {
                let actual = token(connection, &table)?;
                if to > actual {
                    set_token(connection, &table, to)?;
                }
                Ok(to.max(actual))
            })
            .await
    }

    async fn put_fenced(
        &self,
        table: &str,
        given: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        let (table, rows) = (table.to_owned(), rows.to_vec());
        self.writer()?
            .run(move |connection| {
                let actual = token(connection, &table)?;
                if actual > given {
                    return Ok(FencedOutcome::Refused(actual));
                }
                if actual < given {
                    set_token(connection, &table, given)?;
                }
                for (key, value) in rows {
                    let version = cell(connection, &table, &key)?.map(|row| row.version);
                    put(connection, &table, &key, version, value.as_deref())?;
                }
                Ok(FencedOutcome::Applied)
            })
            .await
    }
}

fn cell(connection: &Connection, table: &str, key: &str) -> rusqlite::Result<Option<Row>> {
    connection
        .prepare_cached("SELECT version, value FROM cells WHERE cell_table = ?1 AND cell_key = ?2")?
        .query_row([table, key], |row| row_of(key.to_owned(), row.get(0)?, row.get(1)?))
        .optional()
}

fn row_of(key: String, version: i64, value: Vec<u8>) -> rusqlite::Result<Row> {
    Ok(Row { key: key.into(), version: version.unsigned_abs(), value: value.into() })
}

/// Writes or deletes the row whose version is `actual`, and returns its new version.
fn put(
    connection: &Connection,
    table: &str,
    key: &str,
    actual: Option<RowVersion>,
    value: Option<&[u8]>,
) -> rusqlite::Result<RowVersion> {
    let Some(value) = value else {
        connection
            .prepare_cached("DELETE FROM cells WHERE cell_table = ?1 AND cell_key = ?2")?
            .execute([table, key])?;
        return Ok(0);
    };
    let version = actual.unwrap_or(0) + 1;
    connection
        .prepare_cached("INSERT OR REPLACE INTO cells VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![table, key, i64::try_from(version).unwrap_or(i64::MAX), value])?;
    Ok(version)
}

fn token(connection: &Connection, table: &str) -> rusqlite::Result<FencingToken> {
    let token: Option<i64> = connection
        .prepare_cached("SELECT token FROM tokens WHERE cell_table = ?1")?
        .query_row([table], |row| row.get(0))
        .optional()?;
    Ok(FencingToken(token.unwrap_or(0).unsigned_abs()))
}

fn set_token(connection: &Connection, table: &str, token: FencingToken) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO tokens VALUES (?1, ?2)")?
        .execute(params![table, i64::try_from(token.0).unwrap_or(i64::MAX)])?;
    Ok(())
}
