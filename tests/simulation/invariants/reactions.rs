//! Every event of another replica has its reaction, and the events of a reaction are stored once.

use std::collections::BTreeSet;

use antiphon_persistence::codec::CodecId;
use antiphon_persistence::event::StoredEvent;

use super::streams;
use crate::cluster::Cluster;
use crate::ledger::Added;

fn added(event: &StoredEvent) -> Result<Added, String> {
    CodecId::Bincode.decode(&event.payload.bytes).map_err(|error| error.to_string())
}

/// Checks that no event of another replica waits for its reaction. The row by which a reaction is
/// found after a death is as late as the clock of the node that put it was wrong.
pub(crate) async fn check_done(cluster: &Cluster) -> Result<(), String> {
    if !cluster.user.reacts || cluster.user.had_another_day {
        return Ok(());
    }
    for (entity, replica, events) in streams(cluster).await {
        let key = (entity, replica);
        let done = cluster.user.acts.with(|log| log.reacted.get(&key).cloned().unwrap_or_default());
        for event in events.iter().filter(|event| event.meta.origin != key.1) {
            let line = added(event)?.line;
            if !done.contains_key(&line) {
                let (entity, replica) = &key;
                return Err(format!("reactions: {entity} at {replica} has none to line {line}"));
            }
        }
    }
    Ok(())
}

/// Checks that each event has one stored reaction at most at a replica. The events that come back
/// after a journal went back have theirs again.
pub(crate) async fn check_once(cluster: &Cluster) -> Result<(), String> {
    for (entity, replica, events) in streams(cluster).await {
        if cluster.user.went_back.contains(&cluster.form.place_of(&replica)) {
            continue;
        }
        let mut lines = BTreeSet::new();
        for event in events.iter().filter(|event| event.meta.origin == replica) {
            if let Some(line) = added(event)?.reacts_to
                && !lines.insert(line)
            {
                return Err(format!(
                    "reactions: {entity} at {replica} has two stored ones to line {line}"
                ));
            }
        }
    }
    Ok(())
}
