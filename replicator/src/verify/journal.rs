//! Comparison of the streams of one entity type in two journals.

use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicationId};
use antiphon_persistence::store::{Role, Stores};
use uuid::Uuid;

use super::report::{Difference, Report, StreamReport};
use crate::config::{Config, SinkKind, SubscriptionSettings};
use crate::filter::{Shaped, Shaping};
use crate::run::{sink_journal, source_journal};
use crate::{Error, Result, journal_event};

/// Largest number of streams listed, or events read, at once.
const PAGE: usize = 256;

/// Compares the streams that a journal's subscription replicates.
///
/// # Errors
/// `Rejected` when the sink is not a journal; `Unavailable` when a side cannot be read.
pub(super) async fn compare(
    config: &Config,
    subscription: &SubscriptionSettings,
    shaping: &Shaping,
    report: &mut Report,
) -> Result<()> {
    if config.sink() != SinkKind::Journal {
        return Err(Error::rejected(format!(
            "`Settings:Sink`: expected `journal`, because the subscription `{}` reads a journal, which is compared with journals only",
            subscription.display_name()
        )));
    }
    let source = source_journal(subscription).await?;
    let destination = sink_journal(config, Role::Reader).await?;
    let (source, destination) = (source.get().await?, destination.get().await?);
    let replica = subscription.replica()?;
    let entity_type = subscription.journal_entity_type.as_deref().unwrap_or_default();
    let mut after = None;
    loop {
        let page = source.read_journal.persistence_ids(entity_type, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        for id in page {
            if *ReplicationId::parse(id.as_str())?.replica_id() != replica {
                continue;
            }
            let compared = stream(source, destination, &id, shaping).await?;
            report.streams.insert(id.as_str().to_owned(), compared);
        }
    }
}

/// Compares one stream. Both sides use the same numbers, so they are read in parallel.
async fn stream(
    source: &Stores,
    destination: &Stores,
    id: &PersistenceId,
    shaping: &Shaping,
) -> Result<StreamReport> {
    let mut report = StreamReport::default();
    let mut there = id.clone();
    let mut next = SequenceNr::new(1);
    loop {
        let wanted = source.journal.replay(id, next, SequenceNr::MAX, PAGE).await?;
        let Some(last) = wanted.last().map(|event| event.sequence_nr) else { break };
        let mut expected: Vec<(StoredEvent, Uuid)> = Vec::with_capacity(wanted.len());
        for stored in wanted {
            let event = journal_event::to_event(id, stored)?;
            if shaping.excludes(&event).is_some() {
                continue;
            }
            let Shaped::Event(event) = shaping.shape(&event) else { continue };
            there = PersistenceId::parse(&event.stream)?;
            expected.push((journal_event::to_stored(&event)?, event.id));
        }
        let found = replay(destination, &there, next, last).await?;
        for (event, uuid) in expected {
            let revision = event.sequence_nr.value().saturating_sub(1);
            match found.iter().find(|found| found.sequence_nr == event.sequence_nr) {
                None => report.add(Difference::Missing(revision, uuid)),
                Some(found) if *found == event => report.same += 1,
                Some(found) => {
                    let part =
                        if found.payload == event.payload { "the metadata" } else { "the payload" };
                    report.add(Difference::Different(revision, uuid, part));
                }
            }
        }
        next = last.next();
    }
    // events that the source received meanwhile may be at the destination
    let highest = source.journal.highest(id).await?;
    let mut from = next.max(highest.next());
    loop {
        let rest = destination.journal.replay(&there, from, SequenceNr::MAX, PAGE).await?;
        let Some(last) = rest.last().map(|event| event.sequence_nr) else { return Ok(report) };
        if last == SequenceNr::MAX {
            return Ok(report);
        }
        from = last.next();
        for stored in rest {
            let event = journal_event::to_event(&there, stored)?;
            report.add(Difference::Extra(event.revision, event.id));
        }
    }
}

/// All events of a range. A store may need several calls for it.
async fn replay(
    stores: &Stores,
    id: &PersistenceId,
    first: SequenceNr,
    last: SequenceNr,
) -> Result<Vec<StoredEvent>> {
    let mut events: Vec<StoredEvent> = Vec::new();
    let mut next = first;
    loop {
        let page = stores.journal.replay(id, next, last, PAGE).await?;
        let Some(end) = page.last().map(|event| event.sequence_nr) else { return Ok(events) };
        events.extend(page);
        if end >= last {
            return Ok(events);
        }
        next = end.next();
    }
}
