//! The names of streams, each checked against the hash in its row.

use antiphon_persistence::record::checksum::DAMAGED;
use rusqlite::Connection;

use crate::record_error::Unread;
use crate::sums::name_hash;

/// Checks the name of every stream against its hash.
pub(crate) fn check_names(connection: &Connection) -> Result<(), Unread> {
    let sql = "SELECT CAST(persistence_id AS BLOB), hash FROM streams";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: Vec<u8> = row.get(0)?;
        checked_name(String::from_utf8_lossy(&name).into_owned(), row.get(1)?)?;
    }
    Ok(())
}

/// Returns the name of a stream if it fits its hash.
pub(crate) fn checked_name(name: String, hash: i64) -> Result<String, Unread> {
    if hash == name_hash(&name) {
        return Ok(name);
    }
    Err(Unread::Row(format!("table `streams`, `{}`: {DAMAGED}", name.escape_debug())))
}
