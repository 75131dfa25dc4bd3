//! Deletions, and what brings a deleted stream back.
//!
//! A soft deletion replaces the metadata of the stream by the greatest `$tb`. The next event of the
//! stream, or of its metadata, sets `$tb` to the number after the last event. A tombstone is an
//! event with the greatest number, after which the stream takes nothing.

use antiphon_eventstore::{ExpectedRevision, NewEvent, Result};
use uuid::Uuid;

use super::append::{Appended, Store};
use super::check::Verdict;
use super::entry::{StreamId, position};
use super::metadata::{DELETED, truncation};

/// The two ways to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    Soft,
    Tombstone,
}

impl Store {
    /// Deletes a stream.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(crate) fn delete(
        &mut self,
        name: &str,
        expected: ExpectedRevision,
        how: Deletion,
    ) -> Result<Appended> {
        let stream = self.id_of(name);
        let last = self.log().stream(stream).last();
        match self.judge(stream, expected, &[Uuid::new_v4()]) {
            Verdict::Tombstoned => return Ok(Appended::Tombstoned),
            Verdict::Wrong | Verdict::Repeated { .. } => {
                return Ok(Appended::Wrong { current: last });
            }
            Verdict::Accepted => {}
        }
        let place = match how {
            Deletion::Soft if last.is_none() && !self.is_described(name) => {
                return Ok(Appended::Wrong { current: None });
            }
            Deletion::Soft => self.describe(name, truncation(DELETED))?,
            Deletion::Tombstone => self.bury(name)?,
        };
        self.announce();
        Ok(Appended::Written { last, position: position(place) })
    }

    /// Hides the events of a stream of the server below a number.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(super) fn truncate(&mut self, name: &str, before: u64) -> Result<()> {
        self.describe(name, truncation(before))?;
        self.announce();
        Ok(())
    }

    /// The deleted streams that a write to `stream` brings back: itself, and the one that it
    /// describes.
    pub(super) fn deleted_behind(&self, stream: StreamId) -> Vec<StreamId> {
        let log = self.log();
        let described = log.stream(stream).name.strip_prefix("$$").and_then(|name| log.known(name));
        let both = [Some(stream), described].into_iter().flatten();
        both.filter(|one| log.stream(*one).limits.deleted()).collect()
    }

    /// Brings a deleted stream back, without the events below `before`. Metadata that is no JSON
    /// object stays as it is.
    ///
    /// # Errors
    /// `Unavailable` when the file of the store cannot be written.
    pub(super) fn bring_back(&mut self, stream: StreamId, before: u64) -> Result<()> {
        let stream = self.log().stream(stream);
        let (name, metadata) = (stream.name.clone(), stream.limits.with_truncate_before(before));
        match metadata {
            Some(metadata) => self.describe(&name, metadata).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Writes metadata. Returns its place in the log.
    fn describe(&mut self, name: &str, metadata: Vec<u8>) -> Result<usize> {
        let event = NewEvent::json("$metadata", metadata);
        self.persist_and_write(&format!("$${name}"), vec![event])
    }
}
