//! The holders of the coordinator leases, as far as this node knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_persistence::store::FencingToken;
use serde::Serialize;

use crate::NodeId;

/// The holder of the lease of one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseHolder {
    /// The holder; `None` when the lease was released and not taken since.
    pub holder: Option<NodeId>,
    /// The token of the holder. It grows each time the lease is taken.
    pub token: FencingToken,
}

/// The coordinator leases of all places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseState {
    /// The token, if this node holds the lease of its own place. Every decision made under the
    /// lease must carry the token, since a holder can be declared dead at any time without knowing.
    pub held: Option<FencingToken>,
    /// By place, the holder that was last read. A place whose lease was never taken has no entry.
    pub holders: BTreeMap<Arc<str>, LeaseHolder>,
    /// Entity types that members of the own place have and the holder of its lease has lacked for
    /// twice `renew_timeout`: nobody decides the homes of their shards. Sorted.
    pub lacking: Vec<Arc<str>>,
}

impl LeaseState {
    /// The coordinator of this place, if there is one.
    pub fn holder_of(&self, place: &str) -> Option<&NodeId> {
        self.holders.get(place)?.holder.as_ref()
    }
}
