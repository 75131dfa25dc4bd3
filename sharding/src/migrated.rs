//! The record that a plain entity type has other replicas now: a node that was left with the
//! replicas of before is refused.
//!
//! A plain entity has the empty replica id. It becomes a replicated one by settings: its stream
//! stays, as that of the empty replica, and the other replicas take its events. A node that knows
//! the empty replica alone would write on without the events of the others, and with
//! `delete_events` delete events that they have not taken. A node without the empty replica would
//! write new streams beside the old ones. So the first node with the empty replica and others
//! records all of them in the store of the place, and later nodes must have them, or name those
//! that are gone in `removed_replicas`.

use std::collections::BTreeSet;

use antiphon_base::backoff::{Backoff, Jitter};
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::store::{CasOutcome, Coordination};
use antiphon_runtime::{Error, ErrorKind, Node, Result};
use serde::{Deserialize, Serialize};

use crate::provider::ReplicatedEntityProvider;

/// The table of the coordination store; the key of a row is the entity type.
const MIGRATED: &str = "migrated";

/// Most attempts to read or write the record. The wait between two attempts doubles, up to
/// `retry_delay_max`.
const ATTEMPTS_MAX: u32 = 8;

/// The replicas of a type that was plain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    replicas: BTreeSet<ReplicaId>,
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// Nothing is to be recorded.
    Fits,
    /// The record is written.
    Write(Record),
    /// The replicas that the node lacks.
    Refuse(Vec<ReplicaId>),
}

fn decide(record: Option<&Record>, here: &[ReplicaId], removed: &[String]) -> Decision {
    let recorded = record.map(|record| record.replicas.clone()).unwrap_or_default();
    let is_gone = |replica: &&ReplicaId| {
        !here.contains(replica) && !removed.iter().any(|name| name == replica.as_str())
    };
    let lacking: Vec<ReplicaId> = recorded.iter().filter(is_gone).cloned().collect();
    if !lacking.is_empty() {
        return Decision::Refuse(lacking);
    }
    let mut replicas = recorded.clone();
    replicas.extend(here.iter().cloned());
    let was_plain = here.iter().any(ReplicaId::is_empty);
    if !was_plain || replicas.len() < 2 || replicas == recorded {
        return Decision::Fits;
    }
    Decision::Write(Record { replicas })
}

/// Checks the replicas of a type against the record of this place. Those of a type with the empty
/// replica are recorded.
///
/// # Errors
/// `Rejected`, with the replicas that the provider lacks; the errors of this place's store.
pub(crate) async fn check<E: EventSourced>(
    node: &Node,
    provider: &ReplicatedEntityProvider<E>,
) -> Result<()> {
    let backoff = Backoff::up_to(node.settings().retry_delay_max);
    for attempt in 1..ATTEMPTS_MAX {
        let wait = backoff.delay(attempt, Jitter::NONE);
        match check_once(node, provider).await {
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) => {
                tracing::info!(place = %node.place(), %error, ?wait, "the replicas of a migrated type cannot be read yet");
                tokio::time::sleep(wait).await;
            }
            checked => return checked,
        }
    }
    check_once(node, provider).await
}

async fn check_once<E: EventSourced>(
    node: &Node,
    provider: &ReplicatedEntityProvider<E>,
) -> Result<()> {
    let (entity_type, place) = (&*provider.entity_type, node.place());
    let store: &dyn Coordination = &*node.stores().coordination;
    let row = store.read(MIGRATED, entity_type).await?;
    let damaged = |error: serde_json::Error| {
        Error::corrupt(format!("the record `{entity_type}` in `{MIGRATED}` of `{place}`: {error}"))
    };
    let record: Option<Record> =
        row.as_ref().map(|row| serde_json::from_slice(&row.value).map_err(damaged)).transpose()?;
    let record =
        match decide(record.as_ref(), &provider.replicas, &provider.settings.removed_replicas) {
            Decision::Fits => return Ok(()),
            Decision::Refuse(lacking) => return Err(refusal(entity_type, place, &lacking)),
            Decision::Write(record) => record,
        };
    let value = serde_json::to_vec(&record).expect("names");
    let expected = row.map(|row| row.version);
    match store.compare_and_set(MIGRATED, entity_type, expected, Some(value.into())).await? {
        CasOutcome::Applied(_) => {
            tracing::info!(%entity_type, %place, replicas = ?record.replicas, "a plain entity type has these replicas from now on");
            Ok(())
        }
        CasOutcome::Conflict(_) => Err(Error::unavailable(format!(
            "the record `{entity_type}` in `{MIGRATED}` is changed by another node"
        ))),
    }
}

fn refusal(entity_type: &str, place: &str, lacking: &[ReplicaId]) -> Error {
    let names: Vec<&str> = lacking.iter().map(ReplicaId::as_str).collect();
    Error::rejected(format!(
        "`{entity_type}` of place `{place}` was a plain entity and is replicated now: expected the replicas {names:?} too, which this node lacks: add them to `[[replicas]]` or the provider, or, when they are gone for ever, to `sharding.removed_replicas`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(names: &[&str]) -> Vec<ReplicaId> {
        let named = |name: &&str| match *name {
            "" => ReplicaId::empty(),
            name => ReplicaId::new(name).unwrap(),
        };
        names.iter().map(named).collect()
    }

    fn record(names: &[&str]) -> Record {
        Record { replicas: replicas(names).into_iter().collect() }
    }

    #[test]
    fn a_plain_type_records_nothing_until_it_has_a_second_replica() {
        assert_eq!(decide(None, &replicas(&[""]), &[]), Decision::Fits);
        let both = record(&["", "B"]);
        assert_eq!(decide(None, &replicas(&["", "B"]), &[]), Decision::Write(both.clone()));
        assert_eq!(decide(Some(&both), &replicas(&["B", ""]), &[]), Decision::Fits);
        let three = record(&["", "B", "C"]);
        assert_eq!(decide(Some(&both), &replicas(&["", "B", "C"]), &[]), Decision::Write(three));
    }

    #[test]
    fn a_node_without_a_recorded_replica_is_refused_until_the_replica_counts_as_removed() {
        let both = record(&["", "B"]);
        let lacking = Decision::Refuse(replicas(&["B"]));
        assert_eq!(decide(Some(&both), &replicas(&[""]), &[]), lacking);
        assert_eq!(decide(Some(&both), &replicas(&["", "C"]), &[]), lacking);
        assert_eq!(decide(Some(&both), &replicas(&[""]), &["B".to_owned()]), Decision::Fits);
        let why = refusal("cart", "A", &replicas(&["B"])).to_string();
        assert!(why.contains("[\"B\"]") && why.contains("`[[replicas]]`"), "{why}");
    }

    #[test]
    fn a_node_without_the_empty_replica_of_a_migrated_type_is_refused() {
        let both = record(&["", "B"]);
        let lacking = Decision::Refuse(replicas(&[""]));
        assert_eq!(decide(Some(&both), &replicas(&["A", "B"]), &[]), lacking);
        assert_eq!(decide(Some(&both), &replicas(&["A", "B"]), &["".to_owned()]), Decision::Fits);
        assert_eq!(decide(None, &replicas(&["A", "B"]), &[]), Decision::Fits, "it was never plain");
        let why = refusal("cart", "A", &replicas(&[""])).to_string();
        assert!(why.contains("[\"\"]"), "{why}");
    }

    #[test]
    fn the_record_never_changes_its_form() {
        let text = serde_json::to_string(&record(&["", "B"])).unwrap();
        assert_eq!(text, r#"{"replicas":["","B"]}"#);
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record(&["", "B"]));
    }
}
