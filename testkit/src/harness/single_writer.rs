//! No append of a sealed writer takes effect after `seal` has returned.

use super::cluster::Cluster;
use super::user_code::UserCode;

/// Checks the rule now.
///
/// # Errors
/// The difference.
pub fn check<U: UserCode>(cluster: &Cluster<U>) -> Result<(), String> {
    for audit in &cluster.audits {
        let audit = audit.lock();
        if let Some(append) = audit.after_seal.first() {
            return Err(format!("single_writer: an append took effect after the seal: {append}"));
        }
    }
    Ok(())
}
