//! No append of a sealed writer takes effect after `seal` has returned.

use crate::cluster::Cluster;

pub(crate) fn check(cluster: &Cluster) -> Result<(), String> {
    for audit in &cluster.audits {
        let audit = audit.lock();
        if let Some(append) = audit.after_seal.first() {
            return Err(format!("single_writer: an append took effect after the seal: {append}"));
        }
    }
    Ok(())
}
