//! An append: its events, and the rules that every store checks before it stores them.

use super::Limits;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::PersistenceId;
use crate::record::batch;
use crate::{Error, Result};

/// Events for the end of one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The stream.
    pub persistence_id: PersistenceId,
    /// The highest number that the stream has before the append; zero for a new stream.
    pub expected: SequenceNr,
    /// At least one event, numbered `expected + 1` and on, dense.
    pub events: Vec<StoredEvent>,
}

impl Append {
    /// Checks the rules of every store.
    ///
    /// # Errors
    /// `Rejected` when there is no event or when the numbers are not dense from `expected + 1`.
    pub fn check(&self) -> Result<()> {
        if self.events.is_empty() {
            return Err(Error::rejected(format!(
                "append to `{}`: expected at least one event",
                self.persistence_id
            )));
        }
        for (index, event) in (1..).zip(&self.events) {
            let expected = self.expected.plus(index);
            if event.sequence_nr != expected {
                return Err(Error::rejected(format!(
                    "append to `{}`: expected sequence number {expected}, actual {}",
                    self.persistence_id, event.sequence_nr
                )));
            }
        }
        Ok(())
    }

    /// Checks the size of each event, and of all events together. Returns
    /// [`Limits::append_bytes`].
    ///
    /// # Errors
    /// `Rejected`, naming the limit, when an event or the append is larger than the store takes.
    pub fn check_size(&self, limits: &Limits) -> Result<usize> {
        let mut all = batch::HEAD_BYTES_MAX;
        for event in &self.events {
            let actual = Limits::event_bytes(&event.meta, &event.payload);
            if actual > limits.event_bytes_max {
                return Err(Error::rejected(format!(
                    "append to `{}`: event {}: expected at most {} bytes, actual {actual}",
                    self.persistence_id, event.sequence_nr, limits.event_bytes_max
                )));
            }
            all += actual;
        }
        if all > limits.append_bytes_max {
            return Err(Error::rejected(format!(
                "append to `{}`: expected at most {} bytes (`append_bytes_max`), actual {all}",
                self.persistence_id, limits.append_bytes_max
            )));
        }
        Ok(all)
    }
}
