//! An Antiphon journal as a destination: with a journal as the source, a system moves from one database to another while it runs.
//!
//! Each stored event keeps its number, origin, version and payload. A stream must be complete: what was deleted from the head of the source's
//! stream is missing at the destination, and the stream is parked with that reason.

use std::sync::Arc;

use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Append, Journal, WriterId};
use async_trait::async_trait;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Conflict, Outcome, Sink};
use crate::event::Envelope;
use crate::{Error, ErrorKind, Result, journal_event};

/// A journal.
pub struct JournalSink {
    journal: Arc<dyn Journal>,
    /// Opened with the first write; a new one after the old was sealed or its outcome is unknown.
    writer: Mutex<Option<WriterId>>,
}

impl JournalSink {
    /// Writes to `journal`, through a writer of its own.
    pub fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal, writer: Mutex::new(None) }
    }

    async fn writer(&self) -> Result<WriterId> {
        let mut writer = self.writer.lock().await;
        if let Some(writer) = &*writer {
            return Ok(writer.clone());
        }
        let new = WriterId::new(format!("replicator-{}", Uuid::new_v4()))?;
        self.journal.open_writer(&new).await?;
        *writer = Some(new.clone());
        Ok(new)
    }

    /// After an unknown outcome the old writer must not write any more before anything else is decided.
    async fn retire(&self, writer: &WriterId) -> Result<()> {
        self.journal.seal(writer).await?;
        let mut current = self.writer.lock().await;
        if current.as_ref() == Some(writer) {
            *current = None;
        }
        Ok(())
    }

    async fn write_run(&self, run: &[Envelope]) -> Vec<Outcome> {
        match self.try_run(run).await {
            Ok(outcomes) => outcomes,
            Err(error) => first(failure(&error), run.len()),
        }
    }

    async fn try_run(&self, run: &[Envelope]) -> Result<Vec<Outcome>> {
        let id = PersistenceId::parse(&run[0].event.stream)?;
        let events: Vec<StoredEvent> =
            run.iter().map(|one| journal_event::to_stored(&one.event)).collect::<Result<_>>()?;
        let highest = self.journal.highest(&id).await?;
        let first_number = events[0].sequence_nr;
        let expected = SequenceNr::new(first_number.value() - 1);
        if highest < expected {
            let current = highest.value().checked_sub(1);
            return Ok(first(Outcome::Conflict(Conflict::Missing { current }), run.len()));
        }
        let there = usize::try_from(highest.value() - expected.value()).unwrap_or(usize::MAX);
        let there = there.min(events.len());
        if there > 0
            && let Some(different) = self.compare(&id, &events[..there]).await?
        {
            let mut outcomes = vec![Outcome::Duplicate; different];
            let conflict = Outcome::Conflict(Conflict::Different { found: None });
            outcomes.extend(first(conflict, run.len() - different));
            return Ok(outcomes);
        }
        let mut outcomes = vec![Outcome::Duplicate; there];
        let rest = &events[there..];
        if !rest.is_empty() {
            let written = self.append(&id, rest).await;
            outcomes.extend(match written {
                Ok(()) => rest.iter().map(|_| Outcome::Written(None)).collect(),
                Err(error) => first(failure(&error), rest.len()),
            });
        }
        Ok(outcomes)
    }

    async fn append(&self, id: &PersistenceId, events: &[StoredEvent]) -> Result<()> {
        let writer = self.writer().await?;
        let expected = SequenceNr::new(events[0].sequence_nr.value() - 1);
        let append = Append { persistence_id: id.clone(), expected, events: events.to_vec() };
        let written = self.journal.append(&writer, append).await;
        if let Err(error) = &written
            && matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Fenced)
        {
            self.retire(&writer).await?;
        }
        written
    }

    /// The index of the first event that is not at the destination as it is here. What was deleted there cannot be compared and passes.
    async fn compare(&self, id: &PersistenceId, events: &[StoredEvent]) -> Result<Option<usize>> {
        let (from, to) = (events[0].sequence_nr, events[events.len() - 1].sequence_nr);
        let stored = self.journal.replay(id, from, to, events.len()).await?;
        Ok(events.iter().position(|event| {
            let there = stored.iter().find(|stored| stored.sequence_nr == event.sequence_nr);
            there.is_some_and(|there| there != event)
        }))
    }
}

fn first(outcome: Outcome, count: usize) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::Untried; count];
    if let Some(first) = outcomes.first_mut() {
        *first = outcome;
    }
    outcomes
}

fn failure(error: &Error) -> Outcome {
    let reason = error.to_string();
    match error.kind() {
        // a new writer finds out on the next try what is there
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
        for run in batch.chunk_by(are_neighbours) {
            let has_failed = batch.iter().zip(&outcomes).any(|(envelope, outcome)| {
                !matches!(outcome, Outcome::Written(_) | Outcome::Duplicate)
                    && envelope.event.stream == run[0].event.stream
            });
            if has_failed {
                outcomes.extend(run.iter().map(|_| Outcome::Untried));
            } else {
                outcomes.extend(self.write_run(run).await);
            }
        }
        outcomes
    }
}
