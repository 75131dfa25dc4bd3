//! A shard is only on nodes that have the role of its replica, and never on a proxy.

use super::cluster::Cluster;
use super::user_code::UserCode;

/// Checks the rule now.
///
/// # Errors
/// The difference.
pub fn check<U: UserCode>(cluster: &Cluster<U>) -> Result<(), String> {
    for (member, running) in cluster.running() {
        let settings = running.node.settings();
        for (_, shard) in U::hosted(&running.sharding) {
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
