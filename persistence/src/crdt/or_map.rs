//! A map whose values are replicated types; of a concurrent update and remove of a key, the update
//! wins.
//!
//! A key is there while an update of it is there that no remove has seen. A remove names the
//! updates that its replica had seen, by origin the newest, and takes the value back as far as it
//! was seen there ([`Replicated::reset`]). So the map never has to guess what a key was before:
//!
//! | value | after a remove and a new update | after a remove beside an update |
//! |---|---|---|
//! | of a type that has a reset | begins anew | has that update alone |
//! | `Counter`, `LwwRegister`, `BoundedCounter`, without a reset | goes on | is whole |
//!
//! What a value keeps of operations that were taken back stays behind the removed key, because an
//! operation that has not seen the remove may still arrive: the map forgets the key when its value
//! [is initial](Replicated::is_initial).

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use super::context::OperationContext;
use super::observed::Observed;
use super::replicated::Replicated;

/// Values by key.
///
/// A map of counters, and of maps of sets:
///
/// ```
/// use antiphon_persistence::crdt::{OrMap, OrSet, Replicated, ResettableCounter};
/// use antiphon_persistence::crdt::StandaloneContext;
/// use antiphon_persistence::identity::ReplicaId;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let mut votes: OrMap<String, ResettableCounter> = OrMap::default();
/// let vote = votes.update("tea".to_owned(), |count| count.update(1));
/// votes.apply(&vote, &StandaloneContext::new(a.clone(), 1));
///
/// // a remove in one place, and a vote in the other one
/// let remove = votes.remove(&"tea".to_owned());
/// let vote = votes.update("tea".to_owned(), |count| count.update(2));
/// votes.apply(&remove, &StandaloneContext::new(a.clone(), 2));
/// assert!(votes.is_empty());
/// votes.apply(&vote, &StandaloneContext::new(b, 1));
/// assert_eq!(votes.get(&"tea".to_owned()).map(ResettableCounter::value), Some(2));
///
/// let mut shelves: OrMap<&str, OrMap<&str, OrSet<&str>>> = OrMap::default();
/// let put = shelves.update("left", |boxes| boxes.update("red", |set| set.add("pen", &a)));
/// shelves.apply(&put, &StandaloneContext::new(a.clone(), 3));
/// assert!(shelves.get(&"left").and_then(|boxes| boxes.get(&"red")).is_some());
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrMap<K: Ord, V> {
    entries: BTreeMap<K, Entry<V>>,
}

/// A key: removed, with a trace of its value, when it has no updates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry<V> {
    updates: Observed,
    value: V,
}

/// The operation of an [`OrMap`]; `O` is the operation of its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrMapOp<K: Ord, O> {
    /// Changes the value of a key, which is there afterwards.
    Updated {
        /// The key.
        key: K,
        /// The change of its value.
        operation: O,
    },
    /// Removes keys, as far as they were seen.
    Removed {
        /// The keys.
        keys: BTreeMap<K, RemovedKey<O>>,
    },
}

/// A key as its remover saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedKey<O> {
    /// The updates that were seen.
    pub seen: Observed,
    /// The operation that takes them back, for values that have one.
    pub reset: Option<O>,
}

impl<K: Ord, V> Default for OrMap<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, V: Replicated + Default> OrMap<K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).filter(|entry| !entry.updates.is_empty()).map(|entry| &entry.value)
    }

    /// Returns whether the key is there.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The keys with their values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let entries = self.entries.iter().filter(|(_, entry)| !entry.updates.is_empty());
        entries.map(|(key, entry)| (key, &entry.value))
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Number of keys; looks at each.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The operation that changes the value of `key` by the operation that `prepare` makes. A key
    /// that is not there yet has the default value.
    pub fn update(
        &self,
        key: K,
        prepare: impl FnOnce(&V) -> V::Operation,
    ) -> OrMapOp<K, V::Operation> {
        let made: Result<_, Infallible> = self.try_update(key, |value| Ok(prepare(value)));
        match made {
            Ok(operation) => operation,
            Err(never) => match never {},
        }
    }

    /// The operation that changes the value of `key`, unless `prepare` refuses.
    ///
    /// # Errors
    /// The refusal of `prepare`.
    ///
    /// ```
    /// use antiphon_persistence::crdt::{BoundedCounter, OrMap};
    /// use antiphon_persistence::identity::ReplicaId;
    ///
    /// let stock: OrMap<&str, BoundedCounter> = OrMap::default();
    /// let here = ReplicaId::new("DC-A")?;
    /// let refused = stock.try_update("pen", |pieces| pieces.decrement(1, &here));
    /// assert_eq!(refused.unwrap_err().missing, 1);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    pub fn try_update<E>(
        &self,
        key: K,
        prepare: impl FnOnce(&V) -> Result<V::Operation, E>,
    ) -> Result<OrMapOp<K, V::Operation>, E> {
        let operation = match self.entries.get(&key) {
            // behind a removed key, too: the trace of its value keeps names from being used twice
            Some(entry) => prepare(&entry.value)?,
            None => prepare(&V::default())?,
        };
        Ok(OrMapOp::Updated { key, operation })
    }

    /// The operation that removes `key`; it does nothing when the key is not there.
    pub fn remove(&self, key: &K) -> OrMapOp<K, V::Operation> {
        self.remove_all([key])
    }

    /// The operation that removes all `keys`; those that are not there do nothing.
    pub fn remove_all<'a>(&self, keys: impl IntoIterator<Item = &'a K>) -> OrMapOp<K, V::Operation>
    where
        K: 'a,
    {
        let entries = keys.into_iter().filter_map(|key| self.entries.get_key_value(key));
        let entries = entries.filter(|(_, entry)| !entry.updates.is_empty());
        let keys = entries.map(|(key, entry)| {
            let removed = RemovedKey { seen: entry.updates.clone(), reset: entry.value.reset() };
            (key.clone(), removed)
        });
        OrMapOp::Removed { keys: keys.collect() }
    }

    /// The operation that removes every key that is in the map now.
    pub fn clear(&self) -> OrMapOp<K, V::Operation> {
        self.remove_all(self.entries.keys())
    }
}

impl<K: Ord + Clone, V: Replicated + Default> Replicated for OrMap<K, V> {
    type Operation = OrMapOp<K, V::Operation>;

    fn apply(&mut self, operation: &Self::Operation, context: &dyn OperationContext) {
        match operation {
            OrMapOp::Updated { key, operation } => {
                let entry = self.entries.entry(key.clone());
                let entry = entry
                    .or_insert_with(|| Entry { updates: Observed::default(), value: V::default() });
                entry.updates.note(context);
                entry.value.apply(operation, context);
            }
            OrMapOp::Removed { keys } => {
                for (key, removed) in keys {
                    let Some(entry) = self.entries.get_mut(key) else { continue };
                    entry.updates.take_back(&removed.seen);
                    if let Some(reset) = &removed.reset {
                        entry.value.apply(reset, context);
                    }
                    if entry.updates.is_empty() && entry.value.is_initial() {
                        self.entries.remove(key);
                    }
                }
            }
        }
    }

    fn reset(&self) -> Option<Self::Operation> {
        Some(self.clear())
    }

    fn is_initial(&self) -> bool {
        self.entries.is_empty()
    }
}
