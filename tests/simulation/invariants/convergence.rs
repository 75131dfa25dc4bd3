//! All replicas have the same events and so the same version, and each event has the same labels
//! everywhere, which follow from the event.

use std::collections::BTreeMap;

use antiphon_persistence::codec::CodecId;
use antiphon_persistence::event::{Labels, StoredEvent};
use antiphon_persistence::identity::ReplicaId;

use super::streams;
use crate::cluster::Cluster;
use crate::ledger::Added;

/// By origin and number, the labels of the events of a replica.
type Dots = BTreeMap<(ReplicaId, u64), Labels>;

pub(crate) async fn check(cluster: &Cluster) -> Result<(), String> {
    let all = streams(cluster).await;
    for replicas in all.chunks(cluster.replicas().len()) {
        for (entity, at, events) in replicas {
            for event in events {
                let added: Added = CodecId::Bincode
                    .decode(&event.payload.bytes)
                    .map_err(|error| error.to_string())?;
                added
                    .check_labels(&event.meta.labels)
                    .map_err(|why| format!("convergence: {entity} at {at}: {why}"))?;
            }
        }
        let dots: Vec<Dots> = replicas.iter().map(|(_, _, events)| dots(events)).collect();
        for (index, pair) in dots.windows(2).enumerate() {
            let (entity, one, other) = (&replicas[0].0, &replicas[index].1, &replicas[index + 1].1);
            let differs = |dot: &&(ReplicaId, u64)| pair[0].get(*dot) != pair[1].get(*dot);
            if let Some(dot) = pair[0].keys().chain(pair[1].keys()).find(differs) {
                let (origin, number) = dot;
                let told = |dots: &Dots| match dots.get(dot) {
                    Some(labels) => format!("there with {labels:?}"),
                    None => format!("not among the {} events", dots.len()),
                };
                let (here, there) = (told(&pair[0]), told(&pair[1]));
                return Err(format!(
                    "convergence: {entity}: {origin}:{number} is {here} at {one}, {there} at {other}"
                ));
            }
        }
    }
    Ok(())
}

fn dots(events: &[StoredEvent]) -> Dots {
    let dot = |event: &StoredEvent| {
        ((event.meta.origin.clone(), event.meta.origin_nr()), event.meta.labels.clone())
    };
    events.iter().map(dot).collect()
}
