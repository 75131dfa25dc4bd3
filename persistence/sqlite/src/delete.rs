//! The deletion of a stream's first events.

use antiphon_persistence::identity::PersistenceId;
use rusqlite::{Connection, params};

use crate::chain::{check, header, start};
use crate::head::End;
use crate::record_error::Unread;

/// Moves the mark of deletion, and removes the batches that lie wholly before it. The newest batch
/// of the file stays, deleted or not, so that row numbers only grow.
pub(crate) fn delete(
    connection: &Connection,
    id: &PersistenceId,
    end: End,
    last: i64,
) -> Result<(), Unread> {
    let mut ordinal = start(connection, id, end, last)?;
    let mut gone = Vec::new();
    while ordinal != 0 {
        // an earlier deletion ended here
        let Some(header) = header(connection, ordinal)? else { break };
        check(&header, id, end, ordinal).map_err(Unread::Row)?;
        if header.last <= last {
            gone.push(ordinal);
        }
        ordinal = header.previous;
    }
    assert!(end.deleted < last && last <= end.highest, "deletion to {last} of {end:?}");
    let deleted = End { deleted: last, ..end };
    let moved = connection.execute(
        "UPDATE heads SET deleted = ?2, checksum = ?3 WHERE stream = ?1",
        params![end.stream, last, deleted.sum(id.as_str())],
    )?;
    assert!(moved <= 1, "{moved} heads of one stream were moved");
    if moved == 0 {
        // the row was read in this transaction, and nobody else can write
        return Err(Unread::Row(format!("table `heads`, `{id}`: its row is not found again")));
    }
    let mut statement = connection.prepare_cached(
        "DELETE FROM batches WHERE ordinal = ?1 AND ordinal < (SELECT max(ordinal) FROM batches)",
    )?;
    for ordinal in gone {
        statement.execute([ordinal])?;
    }
    connection.execute(
        "DELETE FROM marks WHERE stream = ?1 AND first <= ?2",
        params![end.stream, last],
    )?;
    Ok(())
}
