//! A shard has one home: no two nodes that may answer host the same shard.

use std::collections::BTreeMap;

use super::cluster::Cluster;
use super::user_code::UserCode;

/// Checks the rule now.
///
/// # Errors
/// The difference.
pub fn check<U: UserCode>(cluster: &Cluster<U>) -> Result<(), String> {
    let mut homes: BTreeMap<String, String> = BTreeMap::new();
    for (member, running) in cluster.running().filter(|(_, running)| running.node.is_live()) {
        for (of, shard) in U::hosted(&running.sharding) {
            if let Some(other) = homes.insert(format!("{of} {shard}"), member.name.clone()) {
                return Err(format!("single_home: {of} {shard} at {other} and at {}", member.name));
            }
        }
    }
    Ok(())
}
