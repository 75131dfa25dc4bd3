//! Coordination tables: one partition for each table, changed by conditional writes only.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::{Error, Result};
use antiphon_persistence::record::cell;
use antiphon_persistence::store::{
    CasOutcome, Coordination, FencedOutcome, FencingToken, Row, RowVersion, TableRows,
};
use async_trait::async_trait;
use bytes::Bytes;

use crate::damaged::damaged;
use crate::stores::CassandraStores;
use crate::tables::{Cell, CellWrite, Cells};

/// Attempts of a write whose table changed between its read and its write.
const ATTEMPTS_MAX: u32 = 100;

/// Decodes the row of a cell. The checksum in its value covers table, key, version and value.
fn row(table: &str, cell: Cell) -> Result<Row> {
    let Cell { key, version, value } = cell;
    match cell::decode(table, &key, version, &value) {
        Ok(value) => Ok(Row { key, version, value }),
        Err(why) => {
            Err(damaged("cells", &format!("row `{}` of `{table}`", key.escape_debug()), why))
        }
    }
}

fn value_of(table: &str, key: &str, version: RowVersion, value: &Bytes) -> (u64, Bytes) {
    (version, cell::encode(table, key, version, value).into())
}

#[async_trait]
impl Coordination for CassandraStores {
    async fn scan(&self, table: &str) -> Result<TableRows> {
        let cells = self.tables().cells(table).await?;
        Ok(TableRows {
            token: FencingToken(cells.token.unwrap_or(0)),
            rows: cells.rows.into_iter().map(|cell| row(table, cell)).collect::<Result<_>>()?,
        })
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        self.tables().cell(table, key).await?.map(|cell| row(table, cell)).transpose()
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        self.require_owner()?;
        for _ in 0..ATTEMPTS_MAX {
            if expected.is_none() && value.is_none() {
                let found = self.tables().cell(table, key).await?;
                return Ok(match found {
                    Some(cell) => CasOutcome::Conflict(Some(row(table, cell)?)),
                    None => CasOutcome::Applied(0),
                });
            }
            let version = if value.is_some() { expected.unwrap_or(0) + 1 } else { 0 };
            let value = value.as_ref().map(|value| value_of(table, key, version, value));
            let write = CellWrite { key: key.into(), expected, value };
            if self.tables().write_cells(table, None, &[write]).await? {
                return Ok(CasOutcome::Applied(version));
            }
            let found = self.tables().cell(table, key).await?;
            // between the two statements the row may have returned to the expected version
            if found.as_ref().map(|cell| cell.version) != expected {
                let found = found.map(|cell| row(table, cell)).transpose()?;
                return Ok(CasOutcome::Conflict(found));
            }
        }
        Err(contended(table))
    }

    async fn raise_token(&self, table: &str, to: FencingToken) -> Result<FencingToken> {
        self.require_owner()?;
        for _ in 0..ATTEMPTS_MAX {
            let token = self.tables().cells(table).await?.token;
            let actual = FencingToken(token.unwrap_or(0));
            if to <= actual {
                return Ok(actual);
            }
            if self.tables().write_cells(table, Some((token, to.0)), &[]).await? {
                return Ok(to);
            }
        }
        Err(contended(table))
    }

    async fn put_fenced(
        &self,
        table: &str,
        given: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        self.require_owner()?;
        for _ in 0..ATTEMPTS_MAX {
            let cells = self.tables().cells(table).await?;
            let actual = FencingToken(cells.token.unwrap_or(0));
            if actual > given {
                return Ok(FencedOutcome::Refused(actual));
            }
            for cell in &cells.rows {
                row(table, cell.clone())?;
            }
            let writes = writes(table, &cells, rows);
            if self.tables().write_cells(table, Some((cells.token, given.0)), &writes).await? {
                return Ok(FencedOutcome::Applied);
            }
        }
        Err(contended(table))
    }
}

/// Merges `rows`, applied in order, into one write per key. A key may occur more than once.
fn writes(table: &str, cells: &Cells, rows: &[(Arc<str>, Option<Bytes>)]) -> Vec<CellWrite> {
    let mut writes: BTreeMap<Arc<str>, CellWrite> = BTreeMap::new();
    for (key, value) in rows {
        let write = writes.entry(key.clone()).or_insert_with(|| {
            let there = cells.rows.iter().find(|cell| cell.key == *key);
            let value = there.map(|cell| (cell.version, cell.value.clone()));
            CellWrite { key: key.clone(), expected: there.map(|cell| cell.version), value }
        });
        let version = write.value.as_ref().map_or(0, |(version, _)| *version);
        write.value = value.as_ref().map(|value| value_of(table, key, version + 1, value));
    }
    let nothing = |write: &CellWrite| write.expected.is_none() && write.value.is_none();
    writes.into_values().filter(|write| !nothing(write)).collect()
}

fn contended(table: &str) -> Error {
    Error::unavailable(format!(
        "coordination table `{table}` changed {ATTEMPTS_MAX} times between a read and a write: try again"
    ))
}
