//! The appends of entities that are under way, counted outside of the entities.
//!
//! An append cannot be called back: it may still be stored after its entity was killed. So an
//! entity's successor (another incarnation at this node, or the next home of its shard) must not
//! start before the entity's last append has ended. This holds for every way in which the entity
//! ends.
//!
//! ```text
//!   begin --> counted --> the store answers, or its task ends in any way --> not counted
//!     |
//!     +--> refused: the entity was killed
//! ```
//!
//! Invariants: after [`Writes::close`] no append begins; when the count is zero after that, none is
//! under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The bit that marks a count as closed; the other bits are the count.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// The appends of one entity, or of all entities of a shard.
#[derive(Debug, Default)]
pub struct Writes {
    state: AtomicUsize,
    ended: Notify,
    /// The count of the shard, which includes the appends of the entity.
    shard: Option<Arc<Writes>>,
}

impl Writes {
    /// Counts the appends of an entity of that shard.
    pub(super) fn of_entity(shard: Option<Arc<Writes>>) -> Arc<Self> {
        Arc::new(Self { shard, ..Self::default() })
    }

    /// Counts an append until the guard is dropped; `None` when the append must not begin, because
    /// the entity was killed.
    pub(super) fn begin(self: &Arc<Self>) -> Option<WriteGuard> {
        // first the shard: after a close of the entity, a shard without appends must mean that none
        // of the entity begins or is under way
        if let Some(shard) = &self.shard {
            shard.state.fetch_add(1, Ordering::SeqCst);
        }
        let guard = WriteGuard(self.clone());
        if self.state.fetch_add(1, Ordering::SeqCst) & CLOSED != 0 {
            return None;
        }
        Some(guard)
    }

    /// Closes the count: from now on no append begins.
    pub(super) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::SeqCst);
    }

    /// True when no append begins any more: the entity was killed.
    pub(super) fn is_closed(&self) -> bool {
        self.state.load(Ordering::SeqCst) & CLOSED != 0
    }

    /// The number of appends under way.
    pub fn count(&self) -> usize {
        self.state.load(Ordering::SeqCst) & !CLOSED
    }

    /// Waits until no append is under way. A cancelled call changes nothing.
    pub async fn none(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // from here on an end is not missed
            ended.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            ended.await;
        }
    }

    fn end(&self) {
        let before = self.state.fetch_sub(1, Ordering::SeqCst);
        assert!(before & !CLOSED > 0, "an append ended that had not begun");
        if before & !CLOSED == 1 {
            self.ended.notify_waiters();
        }
    }
}

/// An append that is under way.
#[derive(Debug)]
pub(super) struct WriteGuard(Arc<Writes>);

impl Drop for WriteGuard {
    fn drop(&mut self) {
        self.0.end();
        if let Some(shard) = &self.0.shard {
            shard.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_base::task;

    #[tokio::test]
    async fn a_shard_has_no_append_under_way_when_the_last_one_of_its_entities_has_ended() {
        let shard = Arc::<Writes>::default();
        let (a, b) =
            (Writes::of_entity(Some(shard.clone())), Writes::of_entity(Some(shard.clone())));
        let (of_a, of_b) = (a.begin().unwrap(), b.begin().unwrap());
        assert_eq!((a.count(), b.count(), shard.count()), (1, 1, 2));
        let waiting = task::spawn("a test", {
            let shard = shard.clone();
            async move { shard.none().await }
        });
        drop(of_a);
        a.none().await;
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(of_b);
        waiting.await.unwrap();
        assert_eq!((a.count(), b.count(), shard.count()), (0, 0, 0));
    }

    #[tokio::test]
    async fn after_the_entity_was_killed_no_append_begins_and_the_last_one_is_waited_for() {
        let writes = Writes::of_entity(Some(Arc::default()));
        let last = writes.begin().unwrap();
        writes.close();
        assert!(writes.begin().is_none() && writes.is_closed());
        assert_eq!(writes.count(), 1);
        drop(last);
        writes.none().await;
        assert_eq!(writes.shard.as_ref().unwrap().count(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_append_that_begins_while_the_entity_is_killed_is_seen_or_refused() {
        for _ in 0..2_000 {
            let shard = Arc::<Writes>::default();
            let writes = Writes::of_entity(Some(shard.clone()));
            let begins = task::spawn("a test", {
                let writes = writes.clone();
                async move { writes.begin() }
            });
            writes.close();
            let seen = shard.count();
            let begun = begins.await.unwrap();
            assert!(begun.is_none() || seen == 1 || shard.count() == 1);
            if let Some(guard) = begun {
                assert_eq!(seen, 1, "it began before the kill, and is seen after it");
                drop(guard);
            }
        }
    }
}
