//! The bytes of the bodies of requests that wait in memory for a route of the application.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that wait, of all requests together.
#[derive(Debug, Default)]
pub(super) struct Bodies(AtomicUsize);

impl Bodies {
    /// Takes room for these bytes, unless more than `max` would wait.
    pub(super) fn take(self: &Arc<Self>, bytes: usize, max: usize) -> Option<Room> {
        let grown = |waiting: usize| waiting.checked_add(bytes).filter(|all| *all <= max);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown).ok()?;
        Some(Room { bodies: self.clone(), bytes })
    }

    /// The bytes that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// The room of some bytes, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    bodies: Arc<Bodies>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.bodies.0.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_while_there_is_some_and_comes_back() {
        let bodies = Arc::<Bodies>::default();
        let (one, two) = (bodies.take(6, 10).unwrap(), bodies.take(4, 10).unwrap());
        assert!(bodies.take(1, 10).is_none() && bodies.take(usize::MAX, 10).is_none());
        drop(one);
        assert_eq!(bodies.waiting(), 4);
        assert!(bodies.take(6, 10).is_some());
        drop(two);
        assert_eq!(bodies.waiting(), 0);
    }
}
