//! The writer of a journal sink: one at a time for each name, across all processes.
//!
//! The coordination table `replicator_writers` has the current writer of each name. A sink takes it
//! over in this order:
//!
//! ```text
//!   read the row --> seal the writer in it --> put a new writer into the row --> open that
//! ```
//!
//! A crash between two steps leaves a writer in the row, perhaps one that was never opened; the
//! next sink seals it. So no write of a killed replicator takes effect after its successor has read
//! the streams, and no writer, which readers would have to follow, stays open for ever.
//!
//! A sink whose writer was taken over stops for good. Two sinks that take turns would be slower
//! than one, and the conflict would go unnoticed.

use antiphon_persistence::store::{CasOutcome, RowVersion, Stores, WriterId};
use bytes::Bytes;
use uuid::Uuid;

use crate::{Error, Result};

const TABLE: &str = "replicator_writers";
/// Limit of attempts to take over, when other sinks intervene.
const ATTEMPTS_MAX: u32 = 10;

/// The writer of a sink, if it has one.
#[derive(Debug)]
pub(super) struct OwnWriter {
    /// The key of the row in the table.
    name: String,
    /// The prefix of the names of all writers of this sink.
    prefix: String,
    /// Number of writers that were put, or may have been put, into the table.
    count: u64,
    current: Option<WriterId>,
    /// The writer that was in the table before a put whose outcome is unknown.
    replaced: Option<Option<WriterId>>,
    /// The writer that took over.
    lost_to: Option<String>,
}

impl OwnWriter {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            prefix: format!("replicator-{}-", Uuid::new_v4()),
            count: 0,
            current: None,
            replaced: None,
            lost_to: None,
        }
    }

    /// The open writer, or a new one after all effects of an earlier writer are known.
    ///
    /// # Errors
    /// `Fenced` when another sink took over; else the error of the journal, and the next call
    /// continues.
    pub(super) async fn get(&mut self, stores: &Stores) -> Result<WriterId> {
        self.not_lost()?;
        if let Some(writer) = &self.current {
            return Ok(writer.clone());
        }
        for _ in 0..ATTEMPTS_MAX {
            let (version, before) = self.read(stores).await?;
            self.check(before.as_ref())?;
            if let Some(before) = &before {
                stores.journal.seal(before).await?;
            }
            let new = WriterId::new(format!("{}{}", self.prefix, self.count + 1))?;
            let put = self.put(stores, version, before, &new).await?;
            if put {
                stores.journal.open_writer(&new).await?;
                self.current = Some(new.clone());
                return Ok(new);
            }
        }
        Err(Error::unavailable(format!(
            "the writer of `{}` was taken by others {ATTEMPTS_MAX} times",
            self.name
        )))
    }

    /// Stops writing with a writer. The next call of [`get`](Self::get) seals it before any other
    /// decision.
    pub(super) fn retire(&mut self, writer: &WriterId) {
        if self.current.as_ref() == Some(writer) {
            self.current = None;
        }
    }

    /// True when this sink never put a writer into the table.
    pub(super) fn is_unused(&self) -> bool {
        self.count == 0
    }

    /// Seals the writer, and removes it from the table.
    pub(super) async fn close(&mut self, stores: &Stores) -> Result<()> {
        self.current = None;
        let (version, there) = self.read(stores).await?;
        let Some(writer) = there.filter(|one| self.is_own(one)) else { return Ok(()) };
        stores.journal.seal(&writer).await?;
        // the row stays, so that its version only grows; the row of a sink that took over is kept
        let none = Some(Bytes::new());
        stores.coordination.compare_and_set(TABLE, &self.name, version, none).await?;
        Ok(())
    }

    /// Checks in the table that no other sink took over.
    pub(super) async fn look(&mut self, stores: &Stores) -> Result<()> {
        self.not_lost()?;
        let (_, there) = self.read(stores).await?;
        self.check(there.as_ref())
    }

    async fn read(&self, stores: &Stores) -> Result<(Option<RowVersion>, Option<WriterId>)> {
        let Some(row) = stores.coordination.read(TABLE, &self.name).await? else {
            return Ok((None, None));
        };
        if row.value.is_empty() {
            return Ok((Some(row.version), None));
        }
        let name = std::str::from_utf8(&row.value).map_err(|error| {
            Error::corrupt(format!("table `{TABLE}`, row `{}`: {error}", self.name))
        })?;
        Ok((Some(row.version), Some(WriterId::new(name)?)))
    }

    /// Puts `new` into the table. Returns true when it is there now. After an error it may be
    /// there.
    async fn put(
        &mut self,
        stores: &Stores,
        version: Option<RowVersion>,
        before: Option<WriterId>,
        new: &WriterId,
    ) -> Result<bool> {
        let (count, replaced) = (self.count, self.replaced.replace(before));
        self.count += 1;
        let value = Some(Bytes::copy_from_slice(new.as_str().as_bytes()));
        let put = stores.coordination.compare_and_set(TABLE, &self.name, version, value).await?;
        match put {
            CasOutcome::Applied(_) => self.replaced = None,
            CasOutcome::Conflict(_) => (self.count, self.replaced) = (count, replaced),
        }
        Ok(matches!(put, CasOutcome::Applied(_)))
    }

    fn is_own(&self, writer: &WriterId) -> bool {
        writer.as_str().starts_with(&self.prefix)
    }

    /// Fails when the writer in the table shows that another sink took over.
    fn check(&mut self, there: Option<&WriterId>) -> Result<()> {
        let is_own = there.is_some_and(|one| self.is_own(one));
        let is_as_before = self.replaced.as_ref().is_some_and(|one| one.as_ref() == there);
        if self.count > 0 && !is_own && !is_as_before {
            self.current = None;
            let other = there.map_or("it has ended meanwhile", WriterId::as_str);
            self.lost_to = Some(other.to_owned());
        }
        self.not_lost()
    }

    fn not_lost(&self) -> Result<()> {
        let Some(other) = &self.lost_to else { return Ok(()) };
        Err(Error::fenced(format!(
            "another replicator ({other}) has taken over `{}` in this journal: end one of them, or name them differently by `Settings:Subscriptions:*:Name`; this one writes again after a restart",
            self.name
        )))
    }
}
