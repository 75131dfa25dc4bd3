//! The right of a node to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// The reason of [`Liveness::Fenced`] after a graceful end.
pub const NODE_LEFT: &str = "the node has left";

/// The right of a node to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    /// The node may answer.
    Live,
    /// The node may not answer now, because it could not renew its row within `renew_timeout`.
    /// Nobody has declared it dead as far as it knows. When a renewal succeeds it is live again,
    /// and then no other node has taken over from it.
    Suspended,
    /// The node may not answer, for ever: it was declared dead, gave way, its row is gone, it has
    /// left, or it was crashed. The value is the reason.
    Fenced(Arc<str>),
}

/// The liveness of one node. `until` is `None` when the node is fenced.
#[derive(Debug)]
pub(super) struct LivenessCell {
    until: Mutex<Option<Instant>>,
    told: watch::Sender<Liveness>,
    /// True when the node is out because of its row.
    by_its_row: AtomicBool,
}

impl LivenessCell {
    pub(super) fn new(until: Instant) -> Self {
        Self {
            until: Mutex::new(Some(until)),
            told: watch::Sender::new(Liveness::Live),
            by_its_row: AtomicBool::new(false),
        }
    }

    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.until.lock().is_some_and(|until| now < until)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Liveness> {
        self.told.subscribe()
    }

    /// True when the node is out for ever, for any reason.
    pub(super) fn is_fenced(&self) -> bool {
        matches!(*self.told.borrow(), Liveness::Fenced(_))
    }

    /// Takes a renewal: the node may answer until `live_until`.
    pub(super) fn renewed(&self, now: Instant, live_until: Instant) {
        let mut until = self.until.lock();
        if until.is_none() {
            return;
        }
        *until = Some(live_until);
        let liveness = if now < live_until { Liveness::Live } else { Liveness::Suspended };
        self.told.send_if_modified(|told| {
            let changed = *told != liveness;
            *told = liveness;
            changed
        });
    }

    /// Ends all answers from here on; [`Self::fence`] says when the node is out.
    pub(super) fn close(&self) {
        *self.until.lock() = None;
    }

    /// Fences the node because its row says so.
    pub(super) fn declared_dead(&self, reason: &str) {
        if !self.is_fenced() {
            self.by_its_row.store(true, Ordering::Release);
        }
        self.fence(reason);
    }

    /// True when the first reason why the node is out was its row.
    pub(super) fn was_declared_dead(&self) -> bool {
        self.is_fenced() && self.by_its_row.load(Ordering::Acquire)
    }

    pub(super) fn fence(&self, reason: &str) {
        self.close();
        self.told.send_if_modified(|told| {
            let is_first = !matches!(told, Liveness::Fenced(_));
            if is_first {
                *told = Liveness::Fenced(reason.into());
            }
            is_first
        });
    }
}
