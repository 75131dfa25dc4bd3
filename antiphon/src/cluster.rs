//! Plain ractor actors that see those of other nodes (the feature `actors`): [`actors`] begins.
//! A program that uses them depends on `ractor`, with its feature `cluster`, and on
//! `ractor_cluster`, in the versions of this crate.

pub use antiphon_cluster::*;
use antiphon_runtime::{Node, Result};

/// The sessions of a node with all other members, over which plain actors reach each other. In a
/// program of [`crate::app`] they have begun with the table `[actors]` of the configuration;
/// elsewhere the first call begins them.
///
/// # Errors
/// `Rejected` when another node of this process has sessions, or the node's transport has no
/// streams, as that of [`crate::LocalPlace`].
pub fn actors(node: &Node) -> Result<Actors> {
    Actors::of(node)
}
