//! The states of the writers within one transaction.

use antiphon_persistence::store::WriterId;
use rusqlite::Connection;

use crate::writer_row::{WriterState, writer_state};

/// The states that this transaction has read. No other process can change them while it runs. A
/// list, because a process has few writers.
#[derive(Default)]
pub(super) struct WriterStates(Vec<(WriterId, WriterState)>);

impl WriterStates {
    /// Forgets all states, because another write of this transaction may have sealed a writer.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    pub(super) fn get(
        &mut self,
        connection: &Connection,
        writer: &WriterId,
    ) -> rusqlite::Result<WriterState> {
        if let Some((_, state)) = self.0.iter().find(|(known, _)| known == writer) {
            return Ok(*state);
        }
        let state = writer_state(connection, writer.as_str())?;
        self.0.push((writer.clone(), state));
        Ok(state)
    }
}
