//! The operations that a replica has seen of one value: of each origin the newest.
//!
//! Operations of one origin arrive in their order, so the newest stands for those before it. The
//! size is bounded by the number of origins, however many operations there were.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::context::{OperationContext, OperationNr};
use crate::identity::ReplicaId;

/// By origin, the newest operation that was seen and has not been taken back.
///
/// ```
/// use antiphon_persistence::crdt::{EnableWinsFlag, EnableWinsOp};
///
/// let flag = EnableWinsFlag::default();
/// let EnableWinsOp::Disabled { seen } = flag.disable() else { unreachable!() };
/// assert!(seen.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed(BTreeMap<ReplicaId, OperationNr>);

impl Observed {
    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of origins.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the operation `nr` of `origin` is among those that were seen.
    pub fn has(&self, origin: &ReplicaId, nr: OperationNr) -> bool {
        self.0.get(origin).is_some_and(|newest| nr <= *newest)
    }

    /// Notes an operation, in place of the earlier ones of its origin.
    pub(super) fn note(&mut self, context: &dyn OperationContext) {
        self.0.insert(context.origin().clone(), context.take(1));
    }

    /// Takes away what `seen` covers: what came later stays.
    pub(super) fn take_back(&mut self, seen: &Self) {
        self.0.retain(|origin, nr| !seen.has(origin, *nr));
    }
}

impl FromIterator<(ReplicaId, OperationNr)> for Observed {
    fn from_iter<I: IntoIterator<Item = (ReplicaId, OperationNr)>>(operations: I) -> Self {
        Self(operations.into_iter().collect())
    }
}
