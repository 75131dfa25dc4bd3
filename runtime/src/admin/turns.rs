//! The number of requests to the application that are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The requests to the application that are under way.
#[derive(Debug, Default)]
pub(super) struct Turns(AtomicUsize);

impl Turns {
    /// Takes a turn; `None` while `most` are taken.
    pub(super) fn take(self: &Arc<Self>, most: usize) -> Option<Turn> {
        let next = |taken| (taken < most).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some(Turn(self.clone()))
    }

    /// The turns that are taken.
    pub(super) fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A turn of one request, until the end of its answer.
pub(super) struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
