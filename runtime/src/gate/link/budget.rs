//! Limits the bytes that have arrived without being with their receivers: of one node, and of all
//! nodes together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The budget of many nodes.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    bytes_max: usize,
}

/// The share of one owner, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
    bytes_max: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), bytes_max })
    }

    /// Takes bytes. Returns whether there was room; without room, nothing is taken.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::AcqRel);
        let has_room = before.saturating_add(bytes) <= self.bytes_max;
        if !has_room {
            self.give_back(bytes);
        }
        has_room
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }
}

impl Held {
    pub(super) fn new(budget: Arc<Budget>, bytes_max: usize) -> Self {
        Self { budget, bytes: 0, bytes_max }
    }

    /// Takes more bytes. Returns whether there was room; without room, nothing is taken.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        if self.bytes.saturating_add(bytes) > self.bytes_max {
            return false;
        }
        let has_room = self.budget.take(bytes);
        if has_room {
            self.bytes += bytes;
        }
        has_room
    }

    pub(super) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.give_back(bytes);
    }

    /// Gives back the share beyond `bytes`.
    pub(super) fn reduce_to(&mut self, bytes: usize) {
        self.shrink(self.bytes.saturating_sub(bytes));
    }

    /// Moves the share to another budget, where it may be too much: then it cannot grow.
    pub(super) fn move_to(&mut self, budget: Arc<Budget>) {
        budget.used.fetch_add(self.bytes, Ordering::AcqRel);
        self.budget.give_back(self.bytes);
        self.budget = budget;
    }

    pub(super) fn clear(&mut self) {
        self.shrink(self.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_its_own_limit_and_that_of_all_and_is_given_back() {
        let budget = Budget::new(10);
        let mut one = Held::new(budget.clone(), 6);
        let mut other = Held::new(budget.clone(), 6);
        assert!(one.grow(6));
        assert!(!one.grow(1), "its own limit");
        assert!(!other.grow(5), "the limit of all");
        assert!(!other.grow(usize::MAX), "no overflow");
        assert!(other.grow(4));
        one.shrink(2);
        assert_eq!(budget.used(), 8);
        drop((one, other));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_share_moves_to_another_budget_and_is_given_back_there() {
        let (strangers, members) = (Budget::new(10), Budget::new(4));
        let mut share = Held::new(strangers.clone(), 100);
        assert!(share.grow(6));
        share.move_to(members.clone());
        assert_eq!((strangers.used(), members.used()), (0, 6));
        assert!(!share.grow(1), "the other budget is smaller");
        share.shrink(5);
        assert!(share.grow(3));
        drop(share);
        assert_eq!(members.used(), 0);
    }
}
