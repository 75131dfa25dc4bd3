//! The identity of a shard, and the shard of a slice.

use std::fmt;
use std::str::FromStr;

use antiphon_base::text::foreign;
use antiphon_base::{Error, Result};
use antiphon_persistence::identity::{ReplicaId, SLICE_COUNT, Slice, SliceRange};
use serde::{Deserialize, Serialize};

/// A shard: one replica's entities of a range of slices. Text form `replica/number`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId {
    /// The replica that the entities belong to.
    pub replica: ReplicaId,
    /// Number of the range of slices, from zero.
    pub number: u16,
}

impl ShardId {
    /// Returns the number of the shard that has a slice, of `count` shards.
    pub fn number_of(slice: Slice, count: u16) -> u16 {
        // the inverse of `SliceRange::part`, whose bounds are rounded down
        let number = (u32::from(slice.number()) * u32::from(count)) / u32::from(SLICE_COUNT);
        let number = u16::try_from(number).expect("below the count");
        let next = number + 1;
        if next < count && SliceRange::part(next, count).contains(slice) { next } else { number }
    }

    /// The slices of the shard, of `count` shards.
    pub fn slices(&self, count: u16) -> SliceRange {
        SliceRange::part(self.number, count)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.replica, self.number)
    }
}

impl FromStr for ShardId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad =
            || Error::corrupt(format!("shard `{}`: expected `replica/number`", foreign(text)));
        let (replica, number) = text.rsplit_once('/').ok_or_else(bad)?;
        let replica =
            if replica.is_empty() { ReplicaId::empty() } else { ReplicaId::new(replica)? };
        Ok(Self { replica, number: number.parse().map_err(|_| bad())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slice_is_in_the_shard_that_its_number_says() {
        for count in [1, 3, 7, 64, 100, 1000, 1024] {
            for index in 0..1024 {
                let part = (0..count).find(|number| {
                    let range = SliceRange::part(*number, count);
                    (range.first..range.end).contains(&index)
                });
                let slice: Slice = serde_json::from_str(&index.to_string()).unwrap();
                assert_eq!(Some(ShardId::number_of(slice, count)), part, "{index} of {count}");
            }
        }
    }

    #[test]
    fn text_form_is_read_back() {
        let id = ShardId { replica: ReplicaId::new("DC/A").unwrap(), number: 7 };
        assert_eq!(id.to_string().parse::<ShardId>().unwrap(), id);
        assert!("x".parse::<ShardId>().is_err() && "A/x".parse::<ShardId>().is_err());
    }
}
