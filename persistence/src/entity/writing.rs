//! Writes events and snapshots, with what must be in the store before and after.

use crate::event::SequenceNr;
use crate::identity::{PersistenceId, ReplicaId};
use crate::shape::ShapeBook;
use crate::store::{Append, Journal, Snapshot, SnapshotStore, WriterId};
use crate::{Error, ErrorKind, Result};

/// Appends, after the shapes of one's own events are in the store: a release with other shapes is to be refused.
///
/// # Errors
/// Those of the journal. Before it was asked: `Rejected` by [`ShapeBook::record_events`], and
/// `Unavailable` for everything else that goes wrong there, since it is certain then that nothing
/// was appended.
pub(super) async fn append_with_shapes(
    journal: &dyn Journal,
    writer: &WriterId,
    shapes: Option<(ShapeBook, ReplicaId)>,
    append: Append,
) -> Result<()> {
    if let Some((shapes, me)) = shapes {
        shapes.record_events(&append.events, &me).await.map_err(not_begun)?;
    }
    journal.append(writer, append).await
}

/// The same error for an append that was not begun.
fn not_begun(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Rejected | ErrorKind::Unavailable => error,
        ErrorKind::Timeout | ErrorKind::Fenced | ErrorKind::Corrupt | ErrorKind::Bug => {
            Error::unavailable(format!("recording the shapes of events: {error}"))
                .with_source(error)
        }
    }
}

/// Stores a snapshot and reads it back: older ones, and events, are deleted on the strength of it.
///
/// # Errors
/// Those of the store; `Corrupt` when another one is read than was stored.
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

/// Replaces snapshots by ones that nobody can use: other events will have the numbers of what they
/// are of.
///
/// # Errors
/// Those of the store; some may be replaced then.
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
