//! All replicas have the same events and so the same version.

use std::collections::BTreeSet;

use super::streams;
use crate::cluster::Cluster;

pub(crate) async fn check(cluster: &Cluster) -> Result<(), String> {
    let all = streams(cluster).await;
    for replicas in all.chunks(cluster.places.len()) {
        let sets: Vec<BTreeSet<_>> = replicas
            .iter()
            .map(|(_, _, events)| {
                let dot = |event: &antiphon_persistence::event::StoredEvent| {
                    (event.meta.origin.clone(), event.meta.origin_nr())
                };
                events.iter().map(dot).collect()
            })
            .collect();
        for pair in sets.windows(2) {
            if let Some(dot) = pair[0].symmetric_difference(&pair[1]).next() {
                let (entity, (origin, number)) = (&replicas[0].0, dot);
                let mut lacking = replicas.iter().zip(&sets).filter(|(_, set)| !set.contains(dot));
                let (_, at, events) = lacking.next().expect("one of the pair lacks it").0;
                return Err(format!(
                    "convergence: {entity}: {origin}:{number} is not at {at}, which has {} events",
                    events.len()
                ));
            }
        }
    }
    Ok(())
}
