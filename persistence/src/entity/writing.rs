//! Writes events and snapshots: shapes go to the store before them, and a snapshot is read back
//! after it was stored.

use crate::event::SequenceNr;
use crate::identity::{PersistenceId, ReplicaId};
use crate::shape::ShapeBook;
use crate::store::{
    Append, Journal, ReminderRow, ReminderStore, Snapshot, SnapshotStore, WriterId,
};
use crate::{Error, ErrorKind, Result};

/// Appends events, after the shapes of the own ones are in the store, so that a release with other
/// shapes is refused.
///
/// # Errors
/// The errors of the journal. Before the append begins: `Rejected` by [`ShapeBook::record_events`],
/// and `Unavailable` for every other failure there, since it is certain then that nothing was
/// appended.
pub(super) async fn append_with_shapes(
    journal: &dyn Journal,
    writer: &WriterId,
    shapes: Option<(ShapeBook, ReplicaId)>,
    append: Append,
) -> Result<()> {
    if let Some((shapes, me)) = shapes {
        let recorded = shapes.record_events(&append.events, &me).await;
        recorded.map_err(|error| not_begun("recording the shapes of events", error))?;
    }
    journal.append(writer, append).await
}

/// Puts the rows of reminders before the append of the events that set them.
///
/// # Errors
/// `Rejected` or `Unavailable`: it is certain that nothing was appended.
pub(super) async fn put_before_append(
    reminders: &dyn ReminderStore,
    rows: &[ReminderRow],
) -> Result<()> {
    reminders.put(rows).await.map_err(|error| not_begun("putting reminders", error))
}

/// Turns an error before an append into the error of an append that was not begun.
fn not_begun(what: &str, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Rejected | ErrorKind::Unavailable => error,
        ErrorKind::Timeout | ErrorKind::Fenced | ErrorKind::Corrupt | ErrorKind::Bug => {
            Error::unavailable(format!("{what}: {error}")).with_source(error)
        }
    }
}

/// Stores a snapshot and reads it back, because older snapshots, and events, are deleted for it.
///
/// # Errors
/// The errors of the store; `Rejected` when another release has stored states of another shape;
/// `Corrupt` when another snapshot, or none, is read back.
pub(super) async fn save_and_read_back(
    store: &dyn SnapshotStore,
    shapes: Option<ShapeBook>,
    id: &PersistenceId,
    snapshot: &Snapshot,
) -> Result<()> {
    if let Some(shapes) = shapes {
        shapes.record_state(&snapshot.state).await?;
    }
    store.save_snapshot(id, snapshot).await?;
    let number = snapshot.sequence_nr;
    match store.latest_snapshot(id, number).await? {
        Some(read) if read == *snapshot => Ok(()),
        Some(read) if read.sequence_nr == number => Err(Error::corrupt(format!(
            "snapshot {number} of `{id}` is read back as another one: nothing is deleted for it"
        ))),
        Some(_) | None => Err(Error::corrupt(format!(
            "snapshot {number} of `{id}` is not there after it was stored: nothing is deleted for it"
        ))),
    }
}

/// Replaces snapshots by ones that cannot be used, because other events will have the numbers of
/// the events in these snapshots.
///
/// # Errors
/// The errors of the store; some snapshots may be replaced then.
pub(super) async fn void(
    store: &dyn SnapshotStore,
    id: &PersistenceId,
    numbers: &[SequenceNr],
) -> Result<()> {
    for number in numbers {
        store.save_snapshot(id, &Snapshot::void(*number)).await?;
    }
    Ok(())
}
