//! Whether a node may answer.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

/// Whether a node may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    /// It may.
    Live,
    /// It may not now, because it could not renew its row within `renew_timeout`. Nobody has declared it dead as far as it
    /// knows; when a renewal succeeds it is live again, and then nobody has taken over from it.
    Suspended,
    /// It may not, for ever: it was declared dead, gave way, its row is gone, it has left, or it was crashed. The reason.
    Fenced(Arc<str>),
}

/// The liveness of one node; `None` until when: fenced.
#[derive(Debug)]
pub(super) struct LivenessCell {
    until: Mutex<Option<Instant>>,
    told: watch::Sender<Liveness>,
}

impl LivenessCell {
    pub(super) fn new(until: Instant) -> Self {
        Self { until: Mutex::new(Some(until)), told: watch::Sender::new(Liveness::Live) }
    }

    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Liveness> {
        self.told.subscribe()
    }

    /// Whether the node is out for ever, whoever said so.
    pub(super) fn is_fenced(&self) -> bool {
        matches!(*self.told.borrow(), Liveness::Fenced(_))
    }

    /// The renewals have gone so far.
    pub(super) fn renewed(&self, now: Instant, live_until: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Nothing is answered from here on; [`Self::fence`] says when the node is out.
    pub(super) fn close(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
