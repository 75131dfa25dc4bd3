//! The invariants, one file each.

pub(crate) mod acts;
pub(crate) mod causal_order;
pub(crate) mod convergence;
pub(crate) mod exactly_once;
pub(crate) mod no_fork;
pub(crate) mod no_lost_ack;
pub(crate) mod no_stale_read;
pub(crate) mod reactions;
pub(crate) mod reminders;
pub(crate) mod true_answer;

use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
pub(crate) use antiphon_testkit::harness::{right_role, single_home, single_writer};

use crate::clients::ENTITIES;
use crate::cluster::Cluster;
use crate::ledger::TYPE;

/// The stream of one replica of one entity, directly from the store.
pub(crate) async fn stream(
    cluster: &Cluster,
    entity: &str,
    replica: &ReplicaId,
) -> Vec<StoredEvent> {
    let id = ReplicationId::new(TYPE, entity, replica.clone()).expect("an id").persistence_id();
    let journal = cluster.stores(cluster.form.place_of(replica)).journal;
    journal.replay(&id, SequenceNr::new(1), SequenceNr::MAX, usize::MAX).await.expect("no faults")
}

/// The streams of all replicas of all entities.
pub(crate) async fn streams(cluster: &Cluster) -> Vec<(String, ReplicaId, Vec<StoredEvent>)> {
    let mut all = Vec::new();
    for number in 0..ENTITIES {
        let entity = format!("l-{number}");
        for replica in cluster.replicas() {
            let events = stream(cluster, &entity, &replica).await;
            all.push((entity.clone(), replica, events));
        }
    }
    all
}
