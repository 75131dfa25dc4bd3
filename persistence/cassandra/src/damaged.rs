//! Rows that are not as they were written.

use antiphon_persistence::Error;

/// The error of a damaged row of a table, with what to do.
pub(crate) fn damaged(table: &str, key: &str, why: &str) -> Error {
    Error::corrupt(format!(
        "table `{table}`, {key}: {why}: `antiphon journal verify` lists all damage; repair the tables from their other copies (`nodetool repair`), restore them from a backup, or let the place take its events from the others"
    ))
}
