//! Agreement between nodes: rows that change by compare-and-set, and tables with a fencing token.
//!
//! The store decides, so there is no split brain to resolve. Nothing here needs a clock: a lease is
//! a row, and membership decides whether its holder is alive. A new holder raises the fencing token
//! of the tables that it governs, so that every later write of the old holder is refused.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Result;

/// The version of a row: one at creation, one more at each change. The count starts anew after a
/// deletion.
pub type RowVersion = u64;

/// A number that only grows, from zero.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct FencingToken(pub u64);

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key within the table.
    pub key: Arc<str>,
    /// The version of the row.
    pub version: RowVersion,
    /// The content of the row.
    pub value: Bytes,
}

/// A whole table at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableRows {
    /// The fencing token of the table.
    pub token: FencingToken,
    /// The rows, sorted by key.
    pub rows: Vec<Row>,
}

/// The answer to a compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CasOutcome {
    /// Done; the new version of the row, zero after a deletion.
    Applied(RowVersion),
    /// Not done, because the row is not the expected one; the row that exists, or `None`.
    Conflict(Option<Row>),
}

/// The answer to a fenced write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FencedOutcome {
    /// Done.
    Applied,
    /// Not done: the table has a newer token, which is given here.
    Refused(FencingToken),
}

/// The coordination tables of one place. A table exists as soon as it is named.
///
/// # Contract
/// - `compare_and_set` must change the row only if its version is `expected` (`None`: only if there
///   is no row), atomically with respect to every other call on that row, and must return the row
///   that is there otherwise.
/// - A `value` of `None` must delete the row, under the same condition.
/// - `scan` must see every change that returned before it was called, and must return the rows
///   sorted by key.
/// - `raise_token` must set the token to `token` if that is higher than the table's, and return the
///   table's token afterwards.
/// - `put_fenced` must be refused when the table's token is higher than `token`, atomically with
///   the write; it raises a lower one.
/// - After `raise_token(t)` has returned, no `put_fenced` with a lower token may take effect,
///   however late.
/// - `put_fenced` writes all its rows or none.
/// - A damaged row must be found whenever it is read, by `scan` or by its key: the call fails with
///   `Corrupt`, naming table and key.
///
/// # Example
/// A new holder of a table ends the old one:
/// ```
/// use antiphon_persistence::memory::MemoryStores;
/// use antiphon_persistence::store::{CasOutcome, FencedOutcome, FencingToken};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let tables = MemoryStores::new().stores().coordination;
/// let created = tables.compare_and_set("leases", "homes", None, Some("node-1".into())).await?;
/// assert_eq!(created, CasOutcome::Applied(1));
/// let late = tables.compare_and_set("leases", "homes", None, Some("node-2".into())).await?;
/// assert!(matches!(late, CasOutcome::Conflict(Some(row)) if row.value == "node-1"));
///
/// let rows = [("shard-1".into(), Some("node-1".into()))];
/// tables.raise_token("homes", FencingToken(8)).await?;
/// let old = tables.put_fenced("homes", FencingToken(7), &rows).await?;
/// assert_eq!(old, FencedOutcome::Refused(FencingToken(8)));
/// assert!(tables.scan("homes").await?.rows.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[async_trait]
pub trait Coordination: Send + Sync + 'static {
    /// Number of times that another store was found behind this handle, such as a file that was
    /// replaced. When the number has grown, every check of the store must be made again. A read
    /// from the new store must return only after the number has grown.
    fn replacements(&self) -> u64 {
        0
    }

    /// The whole table.
    ///
    /// A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn scan(&self, table: &str) -> Result<TableRows>;

    /// The row with this key; `None` when there is none.
    ///
    /// A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>>;

    /// Changes, creates or deletes a row, if the row has the expected version.
    ///
    /// A cancelled call may take effect, at once or later, or not: read the row before the next
    /// change.
    ///
    /// # Errors
    /// `Unavailable`, or `Timeout` when the outcome is unknown.
    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome>;

    /// Raises the fencing token of the table.
    ///
    /// A cancelled call may raise the token, at once or later, or not: call again.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout`: call again.
    async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken>;

    /// Writes rows (`None` deletes), unless the table has a newer token.
    ///
    /// A cancelled call may write all rows, at once or later, or none.
    ///
    /// # Errors
    /// `Unavailable`, or `Timeout` when the outcome is unknown.
    async fn put_fenced(
        &self,
        table: &str,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome>;
}
