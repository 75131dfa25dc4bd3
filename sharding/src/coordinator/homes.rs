//! The homes of one entity type's shards in one place, as its coordinator publishes them.

use std::collections::BTreeMap;

use antiphon_runtime::NodeId;
use serde::{Deserialize, Deserializer, Serialize};

use crate::ShardId;
use crate::wire::bounded;

/// Most homes of shards in one message.
const HOMES_MAX: usize = 65_536;

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
    #[serde(deserialize_with = "read_homes")]
    pub homes: BTreeMap<ShardId, Home>,
}

fn read_homes<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<ShardId, Home>, D::Error> {
    bounded::map(from, HOMES_MAX, "the homes of at most 65536 shards")
}
