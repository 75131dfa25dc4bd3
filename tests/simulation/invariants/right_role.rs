//! A shard is only on nodes that have the role of its replica, and never on a proxy.

use crate::cluster::Cluster;

pub(crate) fn check(cluster: &Cluster) -> Result<(), String> {
    for (member, running) in cluster.running() {
        let settings = running.node.settings();
        for shard in running.sharding.hosted_shards() {
            let role = cluster.form.role_of(&shard.replica);
            let has = |role: &str| settings.roles.iter().any(|own| own == role);
            if settings.proxy_only || !role.is_none_or(has) {
                let roles = &settings.roles;
                return Err(format!("right_role: {shard} at {} with {roles:?}", member.name));
            }
        }
    }
    Ok(())
}
