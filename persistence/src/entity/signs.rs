//! The facts that an entity's actor and its handles tell each other, beside messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// The entity is not at work.
pub(super) const UNKNOWN: u8 = 0;
/// The entity has no event.
pub(super) const EMPTY: u8 = 1;
/// The entity has events, or commands that wait.
pub(super) const FULL: u8 = 2;

/// The facts that an entity's actor and its handles tell each other, beside messages; a part of the
/// mailbox.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Slots of the mailbox that are taken.
    pub(super) taken: Arc<AtomicUsize>,
    /// Events of other replicas in the actor's queue.
    pub(super) arriving: AtomicUsize,
    /// `UNKNOWN`, `EMPTY` or `FULL`.
    pub(super) is_empty: AtomicU8,
    /// True when the entity is gone; its host was told, or is about to be.
    pub(super) gone: AtomicBool,
}

impl Signs {
    /// Tells the handles whether the entity is empty. Nothing is written that is so already: the
    /// senders of commands read the same memory.
    pub(super) fn set_empty(&self, is_empty: u8) {
        if self.is_empty.load(Ordering::Relaxed) != is_empty {
            self.is_empty.store(is_empty, Ordering::Relaxed);
        }
    }
}
