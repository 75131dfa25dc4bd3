//! Each event is in a replica's stream once, and the numbers of each origin are dense.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_persistence::codec::CodecId;

use super::streams;
use crate::cluster::Cluster;
use crate::ledger::Added;

pub(crate) async fn check(cluster: &Cluster) -> Result<(), String> {
    for (entity, replica, events) in streams(cluster).await {
        let mut by_origin: BTreeMap<_, u64> = BTreeMap::new();
        let mut lines = BTreeSet::new();
        for event in &events {
            let count = by_origin.entry(event.meta.origin.clone()).or_default();
            *count += 1;
            if event.meta.origin_nr() != *count {
                return Err(format!(
                    "exactly_once: {entity} at {replica}: event {} is number {} of {}, {count} was next",
                    event.sequence_nr,
                    event.meta.origin_nr(),
                    event.meta.origin
                ));
            }
            let added: Added =
                CodecId::Bincode.decode(&event.payload.bytes).map_err(|error| error.to_string())?;
            if !lines.insert(added.line) {
                return Err(format!(
                    "exactly_once: {entity} at {replica}: line {} twice",
                    added.line
                ));
            }
        }
    }
    Ok(())
}
