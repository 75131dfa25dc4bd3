//! A vector of dense per-origin counters.
//!
//! `version[r]` is the number of events that originated at `r` and precede or equal the event (or
//! that the replica has, when the vector is a replica's `seen`). A missing entry is zero, and zero
//! is never stored, so two equal vectors compare equal. After Fidge and Mattern (1988). The
//! counters count *events by origin*, not positions in a journal: only so does a gap mean a missing
//! event while several replicas write.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::identity::ReplicaId;

/// The causal order of two vectors.
///
/// ```
/// use antiphon_persistence::identity::ReplicaId;
/// use antiphon_persistence::version::{Causality, VersionVector};
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let first = VersionVector::from_iter([(a.clone(), 1)]);
/// let next = VersionVector::from_iter([(a, 2)]);
/// let other = VersionVector::from_iter([(b, 1)]);
/// assert_eq!(first.compare(&next), Causality::Before);
/// assert_eq!(next.compare(&other), Causality::Concurrent);
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Causality {
    /// The same.
    Same,
    /// The left one precedes the right one.
    Before,
    /// The left one follows the right one.
    After,
    /// Neither precedes the other.
    Concurrent,
}

type Entries = SmallVec<[(ReplicaId, u64); INLINE]>;

/// Events by origin; sorted by replica, no zero entries. Bytes that break these rules are not
/// decoded.
///
/// ```
/// use antiphon_persistence::identity::ReplicaId;
/// use antiphon_persistence::version::VersionVector;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let mut seen = VersionVector::new();
/// seen.increment(&a);
/// seen.merge(&VersionVector::from_iter([(a.clone(), 3), (b, 1)]));
/// assert_eq!((seen.get(&a), seen.event_count()), (3, 4));
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Entries")]
pub struct VersionVector(Entries);

impl TryFrom<Entries> for VersionVector {
    type Error = &'static str;

    fn try_from(entries: Entries) -> Result<Self, Self::Error> {
        let is_sorted = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !is_sorted || entries.iter().any(|(_, counter)| *counter == 0) {
            return Err("version: expected origins in order, each once and above zero");
        }
        Ok(Self(entries))
    }
}

/// Number of entries without an allocation, enough for most systems: each event carries a vector.
const INLINE: usize = 2;

impl Clone for VersionVector {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    /// Consecutive vectors of a stream mostly have the same origins: then only the counters are
    /// copied.
    fn clone_from(&mut self, source: &Self) {
        let names = self.0.iter().map(|(origin, _)| origin);
        if !names.eq(source.0.iter().map(|(origin, _)| origin)) {
            self.0.clone_from(&source.0);
            return;
        }
        for (ours, theirs) in self.0.iter_mut().zip(&source.0) {
            ours.1 = theirs.1;
        }
    }
}

impl VersionVector {
    /// The vector of a replica without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter of `origin`, zero when there is none.
    pub fn get(&self, origin: &ReplicaId) -> u64 {
        let found = self.0.iter().find(|(replica, _)| replica == origin);
        found.map_or(0, |(_, counter)| *counter)
    }

    /// Sets the counter of `origin`; zero removes it.
    pub fn set(&mut self, origin: &ReplicaId, counter: u64) {
        match (self.position(origin), counter) {
            (Ok(index), 0) => drop(self.0.remove(index)),
            (Ok(index), _) => self.0[index].1 = counter,
            (Err(_), 0) => {}
            (Err(index), _) => self.0.insert(index, (origin.clone(), counter)),
        }
    }

    /// Adds a counter above zero of an origin behind all others. Returns false when it is not such
    /// a counter, and changes nothing.
    #[inline]
    pub(crate) fn add_last(&mut self, origin: ReplicaId, counter: u64) -> bool {
        let fits = counter > 0 && self.0.last().is_none_or(|(last, _)| *last < origin);
        if fits {
            self.0.push((origin, counter));
        }
        fits
    }

    /// Adds one to the counter of `origin` and returns the new value.
    pub fn increment(&mut self, origin: &ReplicaId) -> u64 {
        match self.position(origin) {
            Ok(index) => {
                let counter = &mut self.0[index].1;
                *counter = counter.saturating_add(1);
                *counter
            }
            Err(index) => {
                self.0.insert(index, (origin.clone(), 1));
                1
            }
        }
    }

    /// Takes the larger counter of both, entry by entry.
    pub fn merge(&mut self, other: &Self) {
        for (origin, counter) in other.iter() {
            if counter > self.get(origin) {
                self.set(origin, counter);
            }
        }
    }

    /// Returns whether every counter is at most the other's: `other` includes all events of this
    /// vector.
    pub fn is_included_in(&self, other: &Self) -> bool {
        self.iter().all(|(origin, counter)| counter <= other.get(origin))
    }

    /// The causal order of this vector and `other`.
    pub fn compare(&self, other: &Self) -> Causality {
        match (self.is_included_in(other), other.is_included_in(self)) {
            (true, true) => Causality::Same,
            (true, false) => Causality::Before,
            (false, true) => Causality::After,
            (false, false) => Causality::Concurrent,
        }
    }

    /// All entries, sorted by origin.
    pub fn iter(&self) -> impl Iterator<Item = (&ReplicaId, u64)> {
        self.0.iter().map(|(origin, counter)| (origin, *counter))
    }

    /// Returns whether the vector names no event.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of events that the vector names.
    pub fn event_count(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, (_, counter)| sum.saturating_add(*counter))
    }

    /// The index of `origin`, or the index at which it would be. Tries all names first, because
    /// replicas are few, and names are compared faster for equality than for order.
    fn position(&self, origin: &ReplicaId) -> Result<usize, usize> {
        if let Some(index) = self.0.iter().position(|(replica, _)| replica == origin) {
            return Ok(index);
        }
        Err(self.0.partition_point(|(replica, _)| replica < origin))
    }
}

impl FromIterator<(ReplicaId, u64)> for VersionVector {
    fn from_iter<I: IntoIterator<Item = (ReplicaId, u64)>>(entries: I) -> Self {
        let mut vector = Self::new();
        for (origin, counter) in entries {
            vector.set(&origin, counter);
        }
        vector
    }
}

impl PartialOrd for VersionVector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.compare(other) {
            Causality::Same => Some(Ordering::Equal),
            Causality::Before => Some(Ordering::Less),
            Causality::After => Some(Ordering::Greater),
            Causality::Concurrent => None,
        }
    }
}

impl fmt::Display for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (origin, counter)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{origin}:{counter}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(a: u64, b: u64) -> VersionVector {
        let replica = |name| ReplicaId::new(name).unwrap();
        [(replica("A"), a), (replica("B"), b)].into_iter().collect()
    }

    #[test]
    fn a_vector_that_takes_the_place_of_another_is_the_same_as_its_source() {
        for source in [vector(3, 4), vector(3, 0), vector(0, 4), VersionVector::new()] {
            for mut target in [vector(1, 2), vector(1, 0), vector(0, 2), VersionVector::new()] {
                target.clone_from(&source);
                assert_eq!(target, source);
            }
        }
    }

    #[test]
    fn a_vector_out_of_order_or_with_a_zero_is_not_decoded() {
        let read = |text: &str| serde_json::from_str::<VersionVector>(text);
        assert_eq!(read(r#"[["A",3],["B",4]]"#).unwrap(), vector(3, 4));
        for bad in [r#"[["B",4],["A",3]]"#, r#"[["A",3],["A",4]]"#, r#"[["A",0]]"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let highest = vector(u64::MAX, u64::MAX);
        assert_eq!(highest.event_count(), u64::MAX, "no overflow");
        assert_eq!(highest.clone().increment(&ReplicaId::new("A").unwrap()), u64::MAX);
    }

    #[test]
    fn comparison_tells_order_from_concurrency() {
        assert_eq!(vector(1, 0).compare(&vector(1, 0)), Causality::Same);
        assert_eq!(vector(1, 0).compare(&vector(1, 1)), Causality::Before);
        assert_eq!(vector(2, 1).compare(&vector(1, 1)), Causality::After);
        assert_eq!(vector(2, 0).compare(&vector(1, 1)), Causality::Concurrent);
        assert_eq!(vector(0, 0), VersionVector::new());
    }

    #[test]
    fn merge_is_the_least_upper_bound() {
        let mut merged = vector(2, 0);
        merged.merge(&vector(1, 3));
        assert_eq!(merged, vector(2, 3));
        assert_eq!(merged.to_string(), "{A:2, B:3}");
        assert_eq!(merged.event_count(), 5);
    }
}
