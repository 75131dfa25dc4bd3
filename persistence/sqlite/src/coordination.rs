//! Coordination tables: rows with versions, and a fencing token for each table.
//!
//! Each row has a checksum, and each table the sum of the checksums of its rows. A missing row, or
//! a row under another key, is found when the whole table is read, and when a requested row is
//! missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::{Error, Result};
use antiphon_persistence::record::cell;
use antiphon_persistence::record::checksum::DAMAGED;
use antiphon_persistence::store::{
    CasOutcome, Coordination, FencedOutcome, FencingToken, Row, RowVersion, TableRows,
};
use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::record_error::Unread;
use crate::stores::SqliteStores;
use crate::sums::of_token;

pub(crate) type Read<T> = std::result::Result<T, Unread>;

#[async_trait]
impl Coordination for SqliteStores {
    fn replacements(&self) -> u64 {
        self.inner.readers.replacements()
    }

    async fn scan(&self, table: &str) -> Result<TableRows> {
        let table = table.to_owned();
        self.read("reading a coordination table", move |transaction| {
            let (head, rows) = Head::read_with_rows(transaction, &table)?;
            let rows = rows.into_values().map(|cell| cell.row).collect();
            Ok(TableRows { token: head.token(), rows })
        })
        .await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        let (table, key) = (table.to_owned(), key.to_owned());
        let found = Self::read(self, "reading a coordination row", move |transaction| {
            sure_cell(transaction, &table, &key)
        });
        Ok(found.await?.map(|cell| cell.row))
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
            .run_reading(move |connection| {
                let found = sure_cell(connection, &table, &key)?;
                if found.as_ref().map(|cell| cell.row.version) != expected {
                    return Ok(CasOutcome::Conflict(found.map(|cell| cell.row)));
                }
                let mut head = Head::read(connection, &table)?;
                let version = head.put(connection, &key, found.as_ref(), value.as_deref())?;
                head.save(connection)?;
                Ok(CasOutcome::Applied(version))
            })
            .await
    }

    async fn raise_token(&self, table: &str, to: FencingToken) -> Result<FencingToken> {
        let table = table.to_owned();
        self.writer()?
            .run_reading(move |connection| {
                let mut head = Head::read(connection, &table)?;
                if to > head.token() {
                    head.raise(to)?;
                    head.save(connection)?;
                }
                Ok(head.token())
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
            .run_reading(move |connection| {
                let (mut head, mut there) = Head::read_with_rows(connection, &table)?;
                if head.token() > given {
                    return Ok(FencedOutcome::Refused(head.token()));
                }
                head.raise(given)?;
                for (key, value) in rows {
                    let before = there.remove(&key);
                    let version = head.put(connection, &key, before.as_ref(), value.as_deref())?;
                    if let Some(value) = value {
                        // the same key may occur again
                        let sum = cell::checksum(&cell::encode(&table, &key, version, &value));
                        let row = Row { key: key.clone(), version, value };
                        there.insert(key, Cell { row, sum });
                    }
                }
                head.save(connection)?;
                Ok(FencedOutcome::Applied)
            })
            .await
    }
}

/// A row with its checksum.
pub(crate) struct Cell {
    pub(crate) row: Row,
    sum: u64,
}

fn decode(table: &str, key: String, version: i64, record: Vec<u8>) -> Read<Cell> {
    let number = u64::try_from(version).unwrap_or(u64::MAX);
    let (sum, record) = (cell::checksum(&record), Bytes::from(record));
    match cell::decode(table, &key, number, &record) {
        Ok(value) => Ok(Cell { row: Row { key: key.into(), version: number, value }, sum }),
        Err(why) => {
            let key = key.escape_debug();
            Err(Unread::Row(format!("table `cells`, row `{key}` of `{table}`: {why}")))
        }
    }
}

/// Reads a row. When it is missing, checks the whole table, so that a row with a damaged key does
/// not count as missing.
pub(crate) fn sure_cell(connection: &Connection, table: &str, key: &str) -> Read<Option<Cell>> {
    let found: Option<(i64, Vec<u8>)> = connection
        .prepare_cached("SELECT version, value FROM cells WHERE cell_table = ?1 AND cell_key = ?2")?
        .query_row([table, key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        Some((version, record)) => decode(table, key.to_owned(), version, record).map(Some),
        None => Head::read_with_rows(connection, table).map(|_| None),
    }
}

/// The token and the sum of a table.
struct Head {
    table: String,
    token: i64,
    /// The checksums of all rows of the table, combined by exclusive or.
    digest: u64,
}

impl Head {
    fn token(&self) -> FencingToken {
        FencingToken(self.token.unsigned_abs())
    }

    fn read(connection: &Connection, table: &str) -> Read<Self> {
        let found: Option<(i64, i64, i64)> = connection
            .prepare_cached("SELECT token, digest, checksum FROM tokens WHERE cell_table = ?1")?
            .query_row([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((token, digest, sum)) = found else {
            check_all(connection)?;
            return Ok(Self { table: table.to_owned(), token: 0, digest: 0 });
        };
        if sum != of_token(table, token, digest) || token < 0 {
            return Err(Unread::Row(format!("table `tokens`, `{table}`: {DAMAGED}")));
        }
        Ok(Self { table: table.to_owned(), token, digest: digest.cast_unsigned() })
    }

    /// Raises the token to one that is at least as high.
    fn raise(&mut self, to: FencingToken) -> Read<()> {
        assert!(to >= self.token(), "the token of `{}` goes back to {to:?}", self.table);
        self.token = signed("fencing token", to.0)?;
        assert_eq!(self.token(), to, "the token of `{}` is stored as another one", self.table);
        Ok(())
    }

    /// Reads the head and all rows by key. The checksums of the rows must add up to the head's
    /// digest.
    fn read_with_rows(
        connection: &Connection,
        table: &str,
    ) -> Read<(Self, BTreeMap<Arc<str>, Cell>)> {
        let head = Self::read(connection, table)?;
        let mut statement = connection
            .prepare_cached("SELECT cell_key, version, value FROM cells WHERE cell_table = ?1")?;
        let mut rows = statement.query([table])?;
        let (mut cells, mut digest) = (BTreeMap::new(), 0);
        while let Some(row) = rows.next()? {
            let cell = decode(table, row.get(0)?, row.get(1)?, row.get(2)?)?;
            digest ^= cell.sum;
            cells.insert(cell.row.key.clone(), cell);
        }
        if digest != head.digest {
            return Err(Unread::Row(format!(
                "table `cells`, rows of `{table}`: they do not add up to what was written: a row is missing, or lies under another key"
            )));
        }
        Ok((head, cells))
    }

    /// Writes or deletes a row. `before` is the present row. Returns the new version, zero after a
    /// deletion.
    fn put(
        &mut self,
        connection: &Connection,
        key: &str,
        before: Option<&Cell>,
        value: Option<&[u8]>,
    ) -> Read<RowVersion> {
        assert!(before.is_none_or(|cell| *cell.row.key == *key), "a row of another key");
        let table = &*self.table;
        self.digest ^= before.map_or(0, |cell| cell.sum);
        let Some(value) = value else {
            let deleted = connection
                .prepare_cached("DELETE FROM cells WHERE cell_table = ?1 AND cell_key = ?2")?
                .execute([table, key])?;
            assert!(deleted <= 1, "{deleted} rows of one key were deleted");
            return Ok(0);
        };
        let version = before.map_or(0, |cell| cell.row.version) + 1;
        let record = cell::encode(table, key, version, value);
        connection
            .prepare_cached("INSERT OR REPLACE INTO cells VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![table, key, signed("row version", version)?, record])?;
        self.digest ^= cell::checksum(&record);
        Ok(version)
    }

    fn save(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Self { table, token, digest } = self;
        let digest = digest.cast_signed();
        connection
            .prepare_cached("INSERT OR REPLACE INTO tokens VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![table, token, digest, of_token(table, *token, digest)])?;
        Ok(())
    }
}

/// Checks every head. A table without a head is new only if no head is damaged, because a damaged
/// head may belong to this table.
fn check_all(connection: &Connection) -> Read<()> {
    let mut statement = connection
        .prepare_cached("SELECT CAST(cell_table AS BLOB), token, digest, checksum FROM tokens")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: Vec<u8> = row.get(0)?;
        let (token, digest, sum): (i64, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let name = String::from_utf8_lossy(&name);
        if sum != of_token(&name, token, digest) {
            let name = name.escape_debug();
            return Err(Unread::Row(format!("table `tokens`, `{name}`: {DAMAGED}")));
        }
    }
    Ok(())
}

/// The number as the file keeps it. A number without a form there would be read back as another.
fn signed(what: &str, number: u64) -> Read<i64> {
    i64::try_from(number).map_err(|_| {
        Unread::Other(Error::rejected(format!(
            "{what}: expected at most {}, actual {number}",
            i64::MAX
        )))
    })
}
