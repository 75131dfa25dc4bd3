//! Limits the bytes that have arrived without being with their receivers: of one node, and of all
//! nodes together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The budget of all nodes.
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
        let before = self.budget.used.fetch_add(bytes, Ordering::AcqRel);
        if before.saturating_add(bytes) > self.budget.bytes_max {
            self.budget.used.fetch_sub(bytes, Ordering::AcqRel);
            return false;
        }
        self.bytes += bytes;
        true
    }

    pub(super) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.used.fetch_sub(bytes, Ordering::AcqRel);
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
}
