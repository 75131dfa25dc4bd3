//! An add-wins set: of a concurrent add and remove of the same element, the add wins.
//!
//! An observed-remove set in its operation-based form. Every add carries a *dot*, unique in the
//! system. A remove names the dots that its replica had seen, and takes away only those dots. A
//! concurrent add has a dot that the remove does not name.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::identity::ReplicaId;

/// The name of one add.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dot {
    /// The replica at which the element was added.
    pub origin: ReplicaId,
    /// The number of the add at its origin, from one.
    pub counter: u64,
}

/// A set of elements.
///
/// ```
/// use antiphon_persistence::crdt::OrSet;
/// use antiphon_persistence::identity::ReplicaId;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let mut tags = OrSet::default();
/// tags.apply(&tags.add("new", a));
///
/// // a remove in one place, and an add of the same element in another one
/// let (remove, add) = (tags.remove(&"new"), tags.add("new", b));
/// tags.apply(&remove);
/// tags.apply(&add);
/// assert!(tags.contains(&"new"), "the add wins");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrSet<T: Ord> {
    elements: BTreeMap<T, BTreeSet<Dot>>,
    /// The highest counter of each origin. It outlives the dots, so that no dot is used twice.
    counters: BTreeMap<ReplicaId, u64>,
}

/// The operation of an [`OrSet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrSetOp<T: Ord> {
    /// Adds an element under a new dot, in place of the dots that were seen.
    Added {
        /// The element that is added.
        element: T,
        /// The name of this add.
        dot: Dot,
        /// The earlier adds of the element, which this add replaces.
        replaced: BTreeSet<Dot>,
    },
    /// Takes away the adds that were seen.
    Removed {
        /// The elements, each with the adds that are taken away.
        dots: BTreeMap<T, BTreeSet<Dot>>,
    },
}

impl<T: Ord> Default for OrSet<T> {
    fn default() -> Self {
        Self { elements: BTreeMap::new(), counters: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> OrSet<T> {
    /// Returns whether the element is in the set.
    pub fn contains(&self, element: &T) -> bool {
        self.elements.contains_key(element)
    }

    /// The elements, sorted.
    pub fn elements(&self) -> impl Iterator<Item = &T> {
        self.elements.keys()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The operation that adds `element` at `origin`. Apply it before the next one is prepared:
    /// each add has its own dot.
    pub fn add(&self, element: T, origin: ReplicaId) -> OrSetOp<T> {
        let counter = self.counters.get(&origin).copied().unwrap_or(0) + 1;
        let replaced = self.elements.get(&element).cloned().unwrap_or_default();
        OrSetOp::Added { element, dot: Dot { origin, counter }, replaced }
    }

    /// The operation that removes `element`; it does nothing when the element is not in the set.
    pub fn remove(&self, element: &T) -> OrSetOp<T> {
        let dots = self.elements.get_key_value(element);
        OrSetOp::Removed {
            dots: dots.map(|(e, dots)| (e.clone(), dots.clone())).into_iter().collect(),
        }
    }

    /// The operation that removes every element that is in the set now.
    pub fn clear(&self) -> OrSetOp<T> {
        OrSetOp::Removed { dots: self.elements.clone() }
    }

    /// Applies an operation.
    pub fn apply(&mut self, operation: &OrSetOp<T>) {
        match operation {
            OrSetOp::Added { element, dot, replaced } => {
                let counter = self.counters.entry(dot.origin.clone()).or_default();
                *counter = (*counter).max(dot.counter);
                let dots = self.elements.entry(element.clone()).or_default();
                dots.retain(|dot| !replaced.contains(dot));
                dots.insert(dot.clone());
            }
            OrSetOp::Removed { dots } => {
                for (element, removed) in dots {
                    if let Some(present) = self.elements.get_mut(element) {
                        present.retain(|dot| !removed.contains(dot));
                        if present.is_empty() {
                            self.elements.remove(element);
                        }
                    }
                }
            }
        }
    }
}
