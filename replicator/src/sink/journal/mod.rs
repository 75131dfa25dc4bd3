//! An Antiphon journal as a destination. With a journal as the source too, a system moves from one
//! database to another while it runs.
//!
//! Each stored event keeps its number, origin, version and payload. A stream must be complete: if
//! events were deleted from the head of the source's stream, they are missing at the destination,
//! and the stream is parked with that reason.

#[cfg(test)]
mod tests;
mod writer;

use std::time::Duration;

use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Append, DeferredStores, Stores, WriterId};
use async_trait::async_trait;
use tokio::sync::Mutex;

use self::writer::OwnWriter;
use super::run::{FailedStreams, Run};
use super::{Conflict, Outcome, Sink};
use crate::event::Envelope;
use crate::{Error, ErrorKind, Result, journal_event};

/// Time for sealing the writer at the end. After it the next sink seals the writer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Settings of a journal sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSinkSettings {
    /// The name of the replication. A later sink with the same name takes over, and the earlier
    /// sink stops writing.
    pub name: String,
    /// Timeout of one append. After it the sink finds out the outcome.
    pub write_timeout: Duration,
}

/// A journal.
pub struct JournalSink {
    stores: DeferredStores,
    settings: JournalSinkSettings,
    writer: Mutex<OwnWriter>,
}

impl JournalSink {
    /// Creates a sink for the journal of `stores`. Its own writer is opened with the first write at
    /// the latest.
    pub fn new(stores: DeferredStores, settings: JournalSinkSettings) -> Self {
        let writer = Mutex::new(OwnWriter::new(&settings.name));
        Self { stores, settings, writer }
    }

    /// Takes over from an earlier sink of the same name: seals its writer and opens a new one.
    /// After a cancelled call the first write continues.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the journal is unreachable, `Fenced` when yet another sink
    /// took over; the first write then tries again, or reports the reason. `Rejected` when the
    /// tables are missing or must not be written.
    pub async fn take_over(&self) -> Result<()> {
        let stores = self.stores.get().await?;
        self.writer.lock().await.get(stores).await.map(|_| ())
    }

    /// Writes events of one stream with consecutive numbers. Opens the writer first: then all
    /// effects of an earlier writer are known.
    async fn write_run(&self, run: Run<'_>) -> Vec<Outcome> {
        let away = |error: Error| Outcome::Unavailable(error.to_string()).then_untried(run.len());
        let stores = match self.stores.get().await {
            Ok(stores) => stores,
            Err(error) => return away(error),
        };
        let writer = self.writer.lock().await.get(stores).await;
        let writer = match writer {
            Ok(writer) => writer,
            Err(error) => return away(error),
        };
        match self.try_run(stores, &writer, run).await {
            Ok(outcomes) => outcomes,
            Err(error) => failure(&error).then_untried(run.len()),
        }
    }

    async fn try_run(
        &self,
        stores: &Stores,
        writer: &WriterId,
        run: Run<'_>,
    ) -> Result<Vec<Outcome>> {
        let id = PersistenceId::parse(&run[0].event.stream)?;
        let events: Vec<StoredEvent> =
            run.iter().map(|one| journal_event::to_stored(&one.event)).collect::<Result<_>>()?;
        let highest = stores.journal.highest(&id).await.map_err(look)?;
        let first_number = events[0].sequence_nr;
        let expected = SequenceNr::new(first_number.value() - 1);
        if highest < expected {
            let current = highest.value().checked_sub(1);
            let missing = Outcome::Conflict(Conflict::Missing { current });
            return Ok(missing.then_untried(run.len()));
        }
        let there = usize::try_from(highest.value() - expected.value()).unwrap_or(usize::MAX);
        let there = there.min(events.len());
        if there > 0
            && let Some(different) = different(stores, &id, &events[..there]).await.map_err(look)?
        {
            let mut outcomes = vec![Outcome::Duplicate; different];
            let conflict = Outcome::Conflict(Conflict::Different { found: None });
            outcomes.extend(conflict.then_untried(run.len() - different));
            return Ok(outcomes);
        }
        let mut outcomes = vec![Outcome::Duplicate; there];
        let (mut rest, limits) = (&events[there..], stores.journal.limits());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(limits.fitting(rest, rest.len()));
            match self.append(stores, writer, &id, now).await {
                Ok(()) => outcomes.extend(now.iter().map(|_| Outcome::Written(None))),
                Err(error) => {
                    outcomes.extend(failure(&error).then_untried(rest.len()));
                    break;
                }
            }
            rest = later;
        }
        Ok(outcomes)
    }

    async fn append(
        &self,
        stores: &Stores,
        writer: &WriterId,
        id: &PersistenceId,
        events: &[StoredEvent],
    ) -> Result<()> {
        let expected = SequenceNr::new(events[0].sequence_nr.value() - 1);
        let append = Append { persistence_id: id.clone(), expected, events: events.to_vec() };
        let limit = self.settings.write_timeout;
        let written = tokio::time::timeout(limit, stores.journal.append(writer, append)).await;
        let written = written.unwrap_or_else(|_| {
            Err(Error::timeout(format!(
                "append to `{id}`: no answer within `Settings:WriteTimeout` {limit:?}"
            )))
        });
        if let Err(error) = &written
            && matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Fenced)
        {
            self.writer.lock().await.retire(writer);
        }
        written
    }
}

/// The index of the first event that differs at the destination. An event that was deleted there
/// cannot be compared, and counts as equal.
async fn different(
    stores: &Stores,
    id: &PersistenceId,
    events: &[StoredEvent],
) -> Result<Option<usize>> {
    let (mut next, last) = (events[0].sequence_nr, events[events.len() - 1].sequence_nr);
    // a store may return only a part of the events
    loop {
        let stored = stores.journal.replay(id, next, last, events.len()).await?;
        let Some(to) = stored.last().map(|event| event.sequence_nr) else { return Ok(None) };
        let differs = events.iter().position(|event| {
            let there = stored.iter().find(|stored| stored.sequence_nr == event.sequence_nr);
            there.is_some_and(|there| there != event)
        });
        if differs.is_some() {
            return Ok(differs);
        }
        if to >= last {
            return Ok(None);
        }
        next = to.next();
    }
}

/// Turns a rejected read into `Unavailable`, because it says nothing about the event.
fn look(error: Error) -> Error {
    if error.kind() != ErrorKind::Rejected {
        return error;
    }
    Error::unavailable(error.to_string()).with_source(error)
}

fn failure(error: &Error) -> Outcome {
    let reason = error.to_string();
    match error.kind() {
        // on the next try a new writer finds out which events are there
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Fenced => {
            Outcome::Unavailable(reason)
        }
        ErrorKind::Rejected => Outcome::Rejected(reason),
        ErrorKind::Corrupt | ErrorKind::Bug => Outcome::Retryable(reason),
    }
}

#[async_trait]
impl Sink for JournalSink {
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(batch.len());
        let are_neighbours = |one: &Envelope, next: &Envelope| {
            one.event.stream == next.event.stream && one.event.revision + 1 == next.event.revision
        };
        let mut failed = FailedStreams::default();
        for run in batch.chunk_by(are_neighbours) {
            let of_run = match failed.has(run) {
                true => vec![Outcome::Untried; run.len()],
                false => self.write_run(run).await,
            };
            failed.note(run, &of_run);
            outcomes.extend(of_run);
        }
        outcomes
    }

    async fn probe(&self) -> Result<()> {
        let stores = self.stores.get().await?;
        self.writer.lock().await.look(stores).await
    }

    async fn close(&self) -> Result<()> {
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, async {
            let mut writer = self.writer.lock().await;
            if writer.is_unused() {
                return Ok(());
            }
            writer.close(self.stores.get().await?).await
        });
        closed.await.unwrap_or_else(|_| {
            Err(Error::timeout(
                "the writer of the journal is not sealed yet: the next one seals it",
            ))
        })
    }
}
