//! Slices: the fixed buckets that spread entities over shards and readers.
//!
//! An entity has the same slice at every replica, because the replica is not hashed. The hash is
//! XXH64 with seed 0 over `type|entity` (the xxHash specification, version 0.1.1). Test vectors
//! below pin it; it never changes, since stored offsets and shard homes depend on it.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::Xxh64;

use crate::{Error, Result};

/// The number of slices, for ever.
pub const SLICE_COUNT: u16 = 1024;

/// A slice, `0..SLICE_COUNT`.
///
/// ```
/// use antiphon_persistence::identity::{SLICE_COUNT, Slice, SliceRange};
///
/// let slice = Slice::of("cart", "c-1");
/// assert!(slice.number() < SLICE_COUNT);
/// assert!(SliceRange::ALL.contains(slice));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slice(u16);

impl Slice {
    /// The slice of an entity.
    pub fn of(entity_type: &str, entity_id: &str) -> Self {
        let mut hash = Xxh64::new(0);
        hash.update(entity_type.as_bytes());
        hash.update(b"|");
        hash.update(entity_id.as_bytes());
        let slice = hash.digest() % u64::from(SLICE_COUNT);
        Self(u16::try_from(slice).expect("the remainder is below SLICE_COUNT"))
    }

    /// The number.
    pub fn number(self) -> u16 {
        self.0
    }
}

/// Slices `first..end`, `end` exclusive; never empty.
///
/// ```
/// use antiphon_persistence::identity::SliceRange;
///
/// let half = SliceRange::new(0, 512).unwrap();
/// assert_eq!((half.first, half.end), (0, 512));
/// assert!(SliceRange::new(512, 512).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SliceRange {
    /// The first slice.
    pub first: u16,
    /// One past the last slice, at most [`SLICE_COUNT`].
    pub end: u16,
}

impl SliceRange {
    /// All slices.
    pub const ALL: Self = Self { first: 0, end: SLICE_COUNT };

    /// Slices `first..end`.
    ///
    /// # Errors
    /// `Rejected` when the range is empty or ends above [`SLICE_COUNT`].
    pub fn new(first: u16, end: u16) -> Result<Self> {
        if first < end && end <= SLICE_COUNT {
            return Ok(Self { first, end });
        }
        Err(Error::rejected(format!(
            "slice range {first}..{end}: expected first < end <= {SLICE_COUNT}"
        )))
    }

    /// Returns whether `slice` lies in the range.
    pub fn contains(self, slice: Slice) -> bool {
        (self.first..self.end).contains(&slice.0)
    }

    /// Part `index` of all slices, cut into `count` ranges whose sizes differ by at most one.
    ///
    /// # Panics
    /// When `count` is zero or above [`SLICE_COUNT`], or `index >= count`.
    pub fn part(index: u16, count: u16) -> Self {
        assert!((1..=SLICE_COUNT).contains(&count), "part count {count} not in 1..={SLICE_COUNT}");
        assert!(index < count, "part {index} of {count}");
        let bound = |i: u16| {
            let slice = u32::from(i) * u32::from(SLICE_COUNT) / u32::from(count);
            u16::try_from(slice).expect("at most SLICE_COUNT")
        };
        Self { first: bound(index), end: bound(index + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_never_change() {
        let vectors = [("counter", "c-1"), ("auction", "a-200"), ("t", "é")];
        let slices = vectors.map(|(entity_type, id)| Slice::of(entity_type, id).number());
        assert_eq!(slices, [5, 229, 814]);
    }

    #[test]
    fn parts_cover_all_slices_once() {
        for count in [1, 3, 64, 1000, 1024] {
            let parts: Vec<_> = (0..count).map(|index| SliceRange::part(index, count)).collect();
            assert_eq!((parts[0].first, parts[parts.len() - 1].end), (0, SLICE_COUNT));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].first));
            assert!(parts.iter().all(|part| part.first < part.end));
        }
    }
}
