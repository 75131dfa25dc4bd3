//! Where the shards of one entity type live, as the coordinator of one place says.

use std::collections::BTreeMap;

use antiphon_runtime::NodeId;
use serde::{Deserialize, Serialize};

use crate::ShardId;

/// Which of two maps is newer: by the lease's token, then by the changes under it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HomesVersion {
    /// The token of the lease.
    pub token: u64,
    /// Changes since the lease was taken.
    pub change: u64,
}

/// One move of one shard.
pub type MoveId = HomesVersion;

/// Where a shard lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Home {
    /// At this node.
    At(NodeId),
    /// At this node, which has to stop it and say so.
    Moving(NodeId, MoveId),
}

impl Home {
    /// The node that has it, or is stopping it.
    pub fn node(&self) -> &NodeId {
        match self {
            Self::At(node) | Self::Moving(node, _) => node,
        }
    }
}

/// Where all shards of one entity type in one place live. A shard without a home is not named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Homes {
    /// How new it is.
    pub version: HomesVersion,
    /// The homes.
    #[serde(deserialize_with = "crate::wire::bounded::homes")]
    pub homes: BTreeMap<ShardId, Home>,
}
