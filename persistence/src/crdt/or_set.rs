//! An add-wins set: of a concurrent add and remove of the same element, the add wins.
//!
//! An observed-remove set in its operation-based form. Every add carries a *dot*, unique in the
//! system. A remove names the dots that its replica had seen, and takes away only those dots. A
//! concurrent add has a dot that the remove does not name.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::context::OperationContext;
use super::replicated::Replicated;
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
/// use antiphon_persistence::crdt::{OrSet, Replicated, StandaloneContext};
/// use antiphon_persistence::identity::ReplicaId;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let mut tags = OrSet::default();
/// tags.apply(&tags.add("new", &a), &StandaloneContext::new(a.clone(), 1));
///
/// // a remove in one place, and an add of the same element in another one
/// let (remove, add) = (tags.remove(&"new"), tags.add("new", &b));
/// tags.apply(&remove, &StandaloneContext::new(a.clone(), 2));
/// tags.apply(&add, &StandaloneContext::new(b, 1));
/// assert!(tags.contains(&"new"), "the add wins");
///
/// // many at once, in one operation
/// tags.apply(&tags.add_all(["old", "blue"], &a), &StandaloneContext::new(a.clone(), 3));
/// tags.apply(&tags.remove_all([&"new", &"old"]), &StandaloneContext::new(a, 4));
/// assert_eq!(tags.elements().collect::<Vec<_>>(), [&"blue"]);
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
    /// Adds elements under a new dot, which they share. Releases before this variant hold the event
    /// back.
    AddedAll {
        /// The elements, each with its earlier adds, which this add replaces.
        elements: BTreeMap<T, BTreeSet<Dot>>,
        /// The name of this add.
        dot: Dot,
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

    /// The operation that adds `element` at `origin`. Prepare it in the handler that stores it, and
    /// at most once for an element: an add has its number from the state that it was prepared from,
    /// and two adds of one element from one state have the same.
    pub fn add(&self, element: T, origin: &ReplicaId) -> OrSetOp<T> {
        let replaced = self.elements.get(&element).cloned().unwrap_or_default();
        OrSetOp::Added { element, dot: self.next_dot(origin), replaced }
    }

    /// The operation that adds all `elements` at `origin`.
    pub fn add_all(&self, elements: impl IntoIterator<Item = T>, origin: &ReplicaId) -> OrSetOp<T> {
        let replaced = |element: &T| self.elements.get(element).cloned().unwrap_or_default();
        let elements = elements.into_iter().map(|element| {
            let replaced = replaced(&element);
            (element, replaced)
        });
        OrSetOp::AddedAll { elements: elements.collect(), dot: self.next_dot(origin) }
    }

    /// The operation that removes `element`; it does nothing when the element is not in the set.
    pub fn remove(&self, element: &T) -> OrSetOp<T> {
        self.remove_all([element])
    }

    /// The operation that removes all `elements`; those that are not in the set do nothing.
    pub fn remove_all<'a>(&self, elements: impl IntoIterator<Item = &'a T>) -> OrSetOp<T>
    where
        T: 'a,
    {
        let present =
            elements.into_iter().filter_map(|element| self.elements.get_key_value(element));
        OrSetOp::Removed { dots: present.map(|(e, dots)| (e.clone(), dots.clone())).collect() }
    }

    /// The operation that removes every element that is in the set now.
    pub fn clear(&self) -> OrSetOp<T> {
        OrSetOp::Removed { dots: self.elements.clone() }
    }

    fn next_dot(&self, origin: &ReplicaId) -> Dot {
        let before = self.counters.get(origin).copied().unwrap_or(0);
        Dot { origin: origin.clone(), counter: before.saturating_add(1) }
    }

    fn note(&mut self, dot: &Dot) {
        let counter = self.counters.entry(dot.origin.clone()).or_default();
        *counter = (*counter).max(dot.counter);
    }

    fn insert(&mut self, element: &T, dot: &Dot, replaced: &BTreeSet<Dot>) {
        let dots = self.elements.entry(element.clone()).or_default();
        dots.retain(|dot| !replaced.contains(dot));
        dots.insert(dot.clone());
    }
}

impl<T: Ord + Clone> Replicated for OrSet<T> {
    type Operation = OrSetOp<T>;

    fn apply(&mut self, operation: &OrSetOp<T>, _: &dyn OperationContext) {
        match operation {
            OrSetOp::Added { element, dot, replaced } => {
                self.note(dot);
                self.insert(element, dot, replaced);
            }
            OrSetOp::AddedAll { elements, dot } => {
                self.note(dot);
                for (element, replaced) in elements {
                    self.insert(element, dot, replaced);
                }
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

    fn reset(&self) -> Option<OrSetOp<T>> {
        Some(self.clear())
    }

    /// The counters outlive every element, so that no dot is used twice.
    fn is_initial(&self) -> bool {
        self.counters.is_empty()
    }
}
