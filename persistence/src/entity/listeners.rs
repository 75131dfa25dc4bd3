//! The way of durable events from the entities of one type at one node to their listeners.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use self::backlog::Backlog;
pub(super) use self::backlog::Next;
use crate::event::StoredEvent;
use crate::identity::ReplicationId;
use crate::store::Limits;

mod backlog;

/// The events of one append, in order.
pub(super) struct Appended {
    pub(super) id: ReplicationId,
    pub(super) events: Vec<StoredEvent>,
}

/// The way of durable events from the entities of one type at one node to their listeners.
pub(super) struct Listeners {
    backlog: Mutex<Backlog<Appended>>,
    /// The number of listeners, for the entities: they keep events only when somebody listens.
    count: AtomicUsize,
    news: Notify,
}

impl Listeners {
    pub(super) fn new(appends_max: usize, bytes_max: usize) -> Self {
        let backlog = Mutex::new(Backlog::new(appends_max, bytes_max));
        Self { backlog, count: AtomicUsize::new(0), news: Notify::new() }
    }

    /// Returns whether somebody listens.
    pub(super) fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Hands the events of an append of this entity to the listeners. Without events: the append
    /// had begun before somebody listened, and they were not kept.
    pub(super) fn tell(&self, id: &ReplicationId, events: Vec<StoredEvent>) {
        let bytes = Limits::append_bytes(&events);
        let appended = Appended { id: id.clone(), events };
        self.backlog.lock().push((!appended.events.is_empty()).then(|| Arc::new(appended)), bytes);
        self.news.notify_waiters();
    }

    /// Ends all listeners: nothing comes any more.
    pub(super) fn close(&self) {
        self.backlog.lock().close();
        self.news.notify_waiters();
    }

    /// Adds a listener of what comes from now on. Returns its number.
    pub(super) fn listen(&self) -> u64 {
        let number = self.backlog.lock().listen();
        self.count.fetch_add(1, Ordering::Relaxed);
        number
    }

    pub(super) fn leave(&self, number: u64) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.backlog.lock().leave(number);
    }

    /// Waits for news, from this call on.
    pub(super) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// The next append for a listener.
    pub(super) fn next(&self, number: u64) -> Next<Appended> {
        self.backlog.lock().next(number)
    }
}
