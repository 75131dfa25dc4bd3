//! A shard has one home: no two nodes that may answer host the same shard.

use std::collections::BTreeMap;

use crate::cluster::Cluster;

pub(crate) fn check(cluster: &Cluster) -> Result<(), String> {
    let mut homes: BTreeMap<String, String> = BTreeMap::new();
    for (member, running) in cluster.running().filter(|(_, running)| running.node.is_live()) {
        for shard in running.sharding.hosted_shards() {
            if let Some(other) = homes.insert(shard.to_string(), member.name.clone()) {
                return Err(format!("single_home: {shard} at {other} and at {}", member.name));
            }
        }
    }
    Ok(())
}
