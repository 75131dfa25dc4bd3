//! The events of every command that was answered are in the journal of the replica that answered.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_persistence::codec::CodecId;

use super::streams;
use crate::clients::History;
use crate::cluster::Cluster;
use crate::ledger::Added;

pub(crate) async fn check(cluster: &Cluster, history: &History) -> Result<(), String> {
    let mut lines: BTreeMap<(String, _), BTreeSet<u64>> = BTreeMap::new();
    for (entity, replica, events) in streams(cluster).await {
        let decoded: Result<Vec<Added>, _> =
            events.iter().map(|event| CodecId::Bincode.decode(&event.payload.bytes)).collect();
        let decoded = decoded.map_err(|error| error.to_string())?;
        let of_stream = decoded.into_iter().map(|added| added.line).collect();
        lines.insert((entity, replica), of_stream);
    }
    for (entity, replica, line) in &history.acknowledged {
        if !lines[&(entity.clone(), replica.clone())].contains(line) {
            return Err(format!(
                "no_lost_ack: line {line} of {entity} at {replica} was acknowledged"
            ));
        }
    }
    Ok(())
}
