//! The application of a run, as the harness sees it.

use std::pin::Pin;

use antiphon_base::{Error, Result};
use antiphon_runtime::Node;
use antiphon_sharding::{ShardId, ShardingSettings};

use super::form::Form;

/// The start of the entity types on one node, which holds nothing of the cluster.
pub type Starter<S> =
    Box<dyn FnOnce(Node) -> Pin<Box<dyn Future<Output = Result<S>> + Send>> + Send>;

/// The application of a run: its entity types, and what it does at the start of a node.
pub trait UserCode: 'static {
    /// The entity types as they run on one node.
    type Started: Send + 'static;

    /// Prepares the start of the entity types on a node; `ignores_roles` is true for a node that
    /// ignores roles, as earlier versions do.
    fn starter(
        &self,
        form: &Form,
        settings: &ShardingSettings,
        ignores_roles: bool,
    ) -> Starter<Self::Started>;

    /// The shards on a node, each with its entity type.
    fn hosted(started: &Self::Started) -> Vec<(&str, ShardId)>;

    /// Takes note of an error of a start that no other attempt mends.
    fn refused(&self, node: &str, error: Error) {
        panic!("`{node}`: a good provider is refused: {error}");
    }
}
