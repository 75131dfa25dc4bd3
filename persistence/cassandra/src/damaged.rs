//! Errors of rows that differ from the row that was written.

use antiphon_base::Error;

/// The `Corrupt` error of a damaged row of `table`. Its message says how to repair the row.
pub(crate) fn damaged(table: &str, key: &str, why: &str) -> Error {
    Error::corrupt(format!(
        "table `{table}`, {key}: {why}: `antiphon journal verify` lists all damage; repair the tables from their other copies (`nodetool repair`), restore them from a backup, or let the place take its events from the others"
    ))
}
