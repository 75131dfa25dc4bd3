//! No event stands before one of its causes, at any replica. The causes are the events that the
//! writer had seen; the version vector is not used.

use std::collections::BTreeMap;

use antiphon_persistence::codec::CodecId;

use super::streams;
use crate::cluster::Cluster;
use crate::ledger::Added;

pub(crate) async fn check(cluster: &Cluster) -> Result<(), String> {
    for (entity, replica, events) in streams(cluster).await {
        let mut seen: BTreeMap<_, u64> = BTreeMap::new();
        for event in &events {
            let added: Added =
                CodecId::Bincode.decode(&event.payload.bytes).map_err(|error| error.to_string())?;
            for (origin, count) in &added.causes {
                if seen.get(origin).copied().unwrap_or(0) < *count {
                    return Err(format!(
                        "causal_order: {entity} at {replica}: line {} of {} stands before its cause {origin}:{count}",
                        added.line, event.meta.origin
                    ));
                }
            }
            *seen.entry(event.meta.origin.clone()).or_default() += 1;
        }
    }
    Ok(())
}
