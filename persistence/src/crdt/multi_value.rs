//! A register that keeps concurrent writes side by side, for somebody to merge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::context::{OperationContext, OperationNr};
use super::observed::Observed;
use super::replicated::Replicated;
use crate::identity::ReplicaId;

/// A value that a write replaces as far as the writer has seen it. Writes that have not seen each
/// other are all kept: at most one of each origin. A write of the merged value ends the conflict.
///
/// Two writes of one origin that are prepared from the same state are in the order of their events:
/// the second one replaces the first one.
///
/// ```
/// use antiphon_persistence::crdt::{MultiValueRegister, Replicated, StandaloneContext};
/// use antiphon_persistence::identity::ReplicaId;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let mut body = MultiValueRegister::default();
/// let (here, there) = (body.write("one"), body.write("two"));
/// body.apply(&here, &StandaloneContext::new(a.clone(), 1));
/// body.apply(&there, &StandaloneContext::new(b, 1));
/// assert_eq!(body.values().collect::<Vec<_>>(), [&"one", &"two"]);
/// assert!(body.has_conflict());
///
/// body.apply(&body.write("one and two"), &StandaloneContext::new(a, 2));
/// assert_eq!(body.values().collect::<Vec<_>>(), [&"one and two"]);
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiValueRegister<T> {
    /// By origin: its newest write that no write has replaced.
    writes: BTreeMap<ReplicaId, Write<T>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Write<T> {
    nr: OperationNr,
    value: T,
}

/// The operation of a [`MultiValueRegister`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MultiValueOp<T> {
    /// Writes a value in place of those that were seen.
    Written {
        /// The whole new value.
        value: T,
        /// The writes that are replaced.
        seen: Observed,
    },
    /// Takes away the values that were seen.
    Cleared {
        /// The writes that are taken away.
        seen: Observed,
    },
}

impl<T> Default for MultiValueRegister<T> {
    fn default() -> Self {
        Self { writes: BTreeMap::new() }
    }
}

impl<T> MultiValueRegister<T> {
    /// The values that no write has replaced, by the replica id of their origin, from the first in
    /// the alphabet; none before the first write.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.writes.values().map(|write| &write.value)
    }

    /// The values with the origins of their writes, sorted by origin.
    pub fn by_origin(&self) -> impl Iterator<Item = (&ReplicaId, &T)> {
        self.writes.iter().map(|(origin, write)| (origin, &write.value))
    }

    /// Returns whether there are several values, for somebody to merge.
    pub fn has_conflict(&self) -> bool {
        self.writes.len() > 1
    }

    /// The operation that writes `value` in place of all values that are seen here.
    pub fn write(&self, value: T) -> MultiValueOp<T> {
        MultiValueOp::Written { value, seen: self.seen() }
    }

    /// The operation that takes away all values that are seen here.
    pub fn clear(&self) -> MultiValueOp<T> {
        MultiValueOp::Cleared { seen: self.seen() }
    }

    fn seen(&self) -> Observed {
        self.writes.iter().map(|(origin, write)| (origin.clone(), write.nr)).collect()
    }

    fn take_back(&mut self, seen: &Observed) {
        self.writes.retain(|origin, write| !seen.has(origin, write.nr));
    }
}

impl<T: Clone> Replicated for MultiValueRegister<T> {
    type Operation = MultiValueOp<T>;

    fn apply(&mut self, operation: &MultiValueOp<T>, context: &dyn OperationContext) {
        match operation {
            MultiValueOp::Written { value, seen } => {
                self.take_back(seen);
                let write = Write { nr: context.take(1), value: value.clone() };
                self.writes.insert(context.origin().clone(), write);
            }
            MultiValueOp::Cleared { seen } => self.take_back(seen),
        }
    }

    fn reset(&self) -> Option<MultiValueOp<T>> {
        Some(self.clear())
    }

    fn is_initial(&self) -> bool {
        self.writes.is_empty()
    }
}
