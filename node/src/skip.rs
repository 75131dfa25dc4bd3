//! `antiphon entity skip-event`: an event that an operator wants skipped.

use std::path::PathBuf;

use antiphon::persistence::entity::SkippedEvent;
use antiphon::persistence::event::SequenceNr;
use antiphon::prelude::*;
use clap::Args;

use crate::config;
use crate::existing::open_existing;
use crate::output::{self, say};

/// Records that one event of another replica is never applied at this place.
#[derive(Debug, Args)]
pub struct SkipArguments {
    /// The configuration of a node of the place that skips the event.
    #[arg(long)]
    pub config: PathBuf,
    /// The entity, with the replica that skips: `type|entity|replica`, as the log and `/cluster`
    /// name it.
    pub id: String,
    /// The replica at which the event was written first.
    #[arg(long)]
    pub origin: String,
    /// The number of the event among those of its origin, as the log and `/cluster` name it.
    #[arg(long)]
    pub number: u64,
    /// The reason, for later readers of the record.
    #[arg(long)]
    pub note: String,
}

/// Records the skip. The entity skips the event at its next attempt. Returns whether the record is
/// stored. Warns of an entity without any event at this place, whose name may be wrong.
///
/// # Errors
/// `Rejected` when the configuration, the id or the origin is wrong, or when there is no journal;
/// the errors of the store.
pub async fn skip_event(arguments: SkipArguments) -> Result<bool> {
    let SkipArguments { config, id, origin, number, note } = arguments;
    let config = config::load(&config)?;
    let id = ReplicationId::parse(&id)?;
    let event = SkippedEvent { origin: ReplicaId::new(&origin)?, number, id };
    let replicas = config.replicas()?;
    let is_own = event.id.replica_id().as_str() == config.node.place;
    if !is_own
        || !replicas.contains(&event.origin)
        || event.origin == *event.id.replica_id()
        || number == 0
    {
        return Err(Error::rejected(format!(
            "event {number} of `{origin}` for `{}`: expected the replica `{}` of this place, the replica of another one as `origin`, and a number from 1",
            event.id, config.node.place
        )));
    }
    let journal = open_existing(&config).await?;
    let highest = journal.stores().journal.highest(&event.id.persistence_id()).await?;
    let is_new = event.record(&*journal.stores().coordination, &note).await?;
    let what = if is_new { "recorded" } else { "was recorded before" };
    say!("{what}: event {number} of `{origin}` is skipped for `{}`", event.id)?;
    if let Some(warning) = warning(&event, highest) {
        output::complain(format_args!("warning: {warning}"));
    }
    Ok(true)
}

/// Warns of an entity of which this place has no event. Such an entity is not refused, because its
/// first event may be an event that cannot be applied.
fn warning(event: &SkippedEvent, highest: SequenceNr) -> Option<String> {
    (highest == SequenceNr::ZERO).then(|| {
        format!(
            "this place has no event of `{}`: check the type and the id, since the record stays, and no other entity heeds it",
            event.id
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_without_any_event_is_warned_of_by_its_name() {
        let id = ReplicationId::parse("nosuch|gb|DC-A").expect("an id");
        let event = SkippedEvent { origin: ReplicaId::new("DC-B").expect("a name"), number: 1, id };
        let text = warning(&event, SequenceNr::ZERO).expect("a warning");
        assert!(text.contains("`nosuch|gb|DC-A`"), "{text}");
        assert_eq!(warning(&event, SequenceNr::new(1)), None);
    }
}
