//! The number of entities on a node, shared by all shards of all types.
//!
//! From `entities_max` on, each start stops the least recently used entities, which first finish
//! their work. Until they are gone, an eighth more entities may be there. Above that every entity
//! is busy, and a command that would start another entity is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use antiphon_runtime::Node;

use crate::shard::Pressure;

/// The entities of one node.
#[derive(Debug, Default)]
pub(crate) struct Room {
    count: AtomicUsize,
}

/// The entities of one shard on the node. Dropping the share gives its room back.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    count: usize,
}

impl Room {
    pub(crate) fn of(node: &Node) -> Arc<Self> {
        node.extension(|| Arc::new(Self::default()))
    }

    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { room: self.clone(), count: 0 }
    }
}

impl Share {
    /// Sets the number of entities that the shard has now.
    pub(super) fn set(&mut self, count: usize) {
        if count >= self.count {
            self.room.count.fetch_add(count - self.count, Ordering::AcqRel);
        } else {
            self.room.count.fetch_sub(self.count - count, Ordering::AcqRel);
        }
        self.count = count;
    }

    /// Returns the shard's part in the load when the node may have `entities_max` entities; zero:
    /// no limit.
    pub(super) fn pressure(&self, entities_max: usize) -> Pressure {
        let all = self.room.count.load(Ordering::Acquire);
        if entities_max == 0 || all < entities_max {
            return Pressure::default();
        }
        // in proportion to the entities of the shard, with room for one more
        let over = all - entities_max + 1;
        let surplus = (self.count as u128 * over as u128).div_ceil(all as u128);
        let busy = entities_max.saturating_add((entities_max / 8).max(1));
        Pressure { surplus: usize::try_from(surplus).unwrap_or(usize::MAX), is_full: all >= busy }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_take_part_in_proportion_and_a_share_is_given_back() {
        let room = Arc::new(Room::default());
        let (mut large, mut small) = (room.share(), room.share());
        large.set(79);
        small.set(20);
        assert_eq!(large.pressure(100), Pressure::default());
        large.set(80);
        assert_eq!(large.pressure(100), Pressure { surplus: 1, is_full: false });
        large.set(90);
        assert_eq!(large.pressure(100), Pressure { surplus: 9, is_full: false });
        assert_eq!(small.pressure(100), Pressure { surplus: 2, is_full: false });
        large.set(92);
        assert!(large.pressure(100).is_full);
        assert_eq!(large.pressure(0), Pressure::default(), "no limit");
        drop(large);
        assert_eq!(room.count.load(Ordering::Acquire), 20);
        small.set(0);
        assert_eq!(small.pressure(1), Pressure::default());
    }
}
