//! Comparison of the streams of one entity type in two journals.

use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::store::Role;

use super::compare;
use super::pages::Side;
use super::report::Report;
use crate::config::{Config, SinkKind, SubscriptionSettings};
use crate::filter::Shaping;
use crate::run::{sink_journal, source_journal};
use crate::{Error, Result};

/// Largest number of streams listed at once.
const PAGE: usize = 256;

/// Compares the streams that a journal's subscription replicates.
///
/// # Errors
/// `Rejected` when the sink is not a journal; `Unavailable` when a side cannot be read.
pub(super) async fn all(
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
    let (from, to) = (source.get().await?, destination.get().await?);
    let (source, destination) = (Side::Journal(from), Side::Journal(to));
    let replica = subscription.replica()?;
    let entity_type = subscription.journal_entity_type.as_deref().unwrap_or_default();
    let mut after = None;
    loop {
        let page = from.read_journal.persistence_ids(entity_type, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        for id in page {
            if *ReplicationId::parse(id.as_str())?.replica_id() != replica {
                continue;
            }
            let stream = id.as_str();
            let compared = compare::stream(source, destination, stream, shaping).await?;
            report.streams.insert(stream.to_owned(), compared);
        }
    }
}
