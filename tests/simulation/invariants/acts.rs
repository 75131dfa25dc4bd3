//! The rules that one call of a handler can break. A reminder never fires before its time by the
//! clock of its node, nor after its end or its replacement is known there, nor at a replica that
//! was not chosen; it tells the periods that it missed. A reaction is never in recovery, comes once
//! in a life, and in the order of the events.

use crate::cluster::Cluster;

pub(crate) fn check(cluster: &Cluster) -> Result<(), String> {
    match cluster.user.acts.with(|log| log.broken.first().cloned()) {
        Some(why) => Err(format!("acts: {why}")),
        None => Ok(()),
    }
}
