//! Who holds the coordinator leases, as far as this node knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_persistence::store::FencingToken;
use serde::Serialize;

use crate::NodeId;

/// Who holds the lease of one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseHolder {
    /// The holder; `None` when it was released and nobody has taken it.
    pub holder: Option<NodeId>,
    /// The token that the holder got. It grows by one each time the lease is taken.
    pub token: FencingToken,
}

/// The coordinator leases of all places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseState {
    /// The token, if this node holds the lease of its own place. Every decision made under it must carry it, since
    /// a holder can be declared dead at any time without knowing.
    pub held: Option<FencingToken>,
    /// By place, what was last read. A place whose lease was never taken is not there.
    pub holders: BTreeMap<Arc<str>, LeaseHolder>,
}

impl LeaseState {
    /// Who coordinates this place, if anybody does.
    pub fn holder_of(&self, place: &str) -> Option<&NodeId> {
        self.holders.get(place)?.holder.as_ref()
    }
}
