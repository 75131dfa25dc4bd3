//! The homes of one entity type's shards in one place, as its coordinator publishes them.

use std::collections::BTreeMap;

use antiphon_runtime::NodeId;
use serde::{Deserialize, Serialize};

use crate::ShardId;

/// The age of a map of homes, ordered by the lease's token, then by the changes under that token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HomesVersion {
    /// Token of the lease.
    pub token: u64,
    /// Number of changes since the lease was taken.
    pub change: u64,
}

/// Identifies a move of a shard: the version of the homes that started the move.
pub type MoveId = HomesVersion;

/// The home of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Home {
    /// The shard lives at this node.
    At(NodeId),
    /// The shard leaves this node, which has to stop it and report that.
    Moving(NodeId, MoveId),
}

impl Home {
    /// The node that hosts the shard, or is stopping it.
    pub fn node(&self) -> &NodeId {
        match self {
            Self::At(node) | Self::Moving(node, _) => node,
        }
    }
}

/// The homes of all shards of one entity type in one place. A shard without a home is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Homes {
    /// Age of the map.
    pub version: HomesVersion,
    /// Home of each shard.
    #[serde(deserialize_with = "crate::wire::bounded::homes")]
    pub homes: BTreeMap<ShardId, Home>,
}
