//! An event of an origin with a number is the same event at every replica: no number was used
//! twice.

use std::collections::BTreeMap;

use antiphon_persistence::codec::CodecId;

use super::streams;
use crate::cluster::Cluster;
use crate::ledger::Added;

pub(crate) async fn check(cluster: &Cluster) -> Result<(), String> {
    let mut lines = BTreeMap::new();
    for (entity, replica, events) in streams(cluster).await {
        for event in events {
            let added: Added =
                CodecId::Bincode.decode(&event.payload.bytes).map_err(|error| error.to_string())?;
            let (origin, number) = (event.meta.origin.clone(), event.meta.origin_nr());
            let line = *lines.entry((entity.clone(), origin.clone(), number)).or_insert(added.line);
            if line != added.line {
                return Err(format!(
                    "no_fork: {entity}: {origin}:{number} is line {line}, and line {} at {replica}",
                    added.line
                ));
            }
        }
    }
    Ok(())
}
