//! Small rows that are read by key: positions of readers, and coordination tables.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::outcome::Outcome;

/// A row of a coordination table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Key of the row.
    pub key: Arc<str>,
    /// Version of the row.
    pub version: u64,
    /// Value of the row.
    pub value: Bytes,
}

/// A coordination table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    /// The fencing token, if one was ever set.
    pub token: Option<u64>,
    /// The rows by key.
    pub rows: Vec<Cell>,
}

/// A row in a conditional write of a coordination table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellWrite {
    /// Key of the row.
    pub key: Arc<str>,
    /// Version that the row must have. `None` when the row must not exist.
    pub expected: Option<u64>,
    /// New version and value. `None` deletes the row.
    pub value: Option<(u64, Bytes)>,
}

/// Asserts that a conditional write of a coordination table makes sense, before it is sent.
///
/// # Panics
/// - When the token would go back: a holder of an older right could write again.
/// - When a key is written twice: the server takes one of the values.
pub(crate) fn check_write(table: &str, token: Option<(Option<u64>, u64)>, writes: &[CellWrite]) {
    if let Some((expected, new)) = token {
        let before = expected.unwrap_or(0);
        assert!(before <= new, "the token of `{table}` would go back from {before} to {new}");
    }
    let mut keys: Vec<&str> = writes.iter().map(|write| &*write.key).collect();
    keys.sort_unstable();
    assert!(
        keys.windows(2).all(|two| two[0] != two[1]),
        "a key of `{table}` is written twice: {keys:?}"
    );
}

/// Statements on positions and on coordination tables. A cancelled write may have taken effect, and
/// may still take effect; a cancelled read changes nothing.
#[async_trait]
pub trait CellTables: Send + Sync + 'static {
    /// Plain: a position of a reader.
    async fn put_offset(&self, reader: &str, part: &str, position: &str) -> Outcome<()>;
    /// All positions, as `(reader, part, position)`. Reads the whole table.
    async fn offsets(&self) -> Outcome<Vec<(String, String, String)>>;
    /// The position of a reader.
    async fn offset(&self, reader: &str, part: &str) -> Outcome<Option<String>>;

    /// The names of the coordination tables. Reads the whole table.
    async fn cell_tables(&self) -> Outcome<Vec<Arc<str>>>;
    /// Serial: a whole coordination table.
    async fn cells(&self, table: &str) -> Outcome<Cells>;
    /// Serial: one row.
    async fn cell(&self, table: &str, key: &str) -> Outcome<Option<Cell>>;
    /// Conditional, all or nothing: changes rows, and the token when one is given as
    /// `(expected, new)`. Returns true when the write was applied.
    async fn write_cells(
        &self,
        table: &str,
        token: Option<(Option<u64>, u64)>,
        writes: &[CellWrite],
    ) -> Outcome<bool>;
}
