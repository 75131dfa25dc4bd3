//! The way to a singleton, wherever it runs: messages wait while it moves.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use antiphon_base::guard;
use antiphon_base::time::Clock;
use antiphon_runtime::Node;
use antiphon_runtime::metrics::IntCounterVec;
use parking_lot::Mutex;
use ractor::{ActorRef, ActorStatus, Message, MessagingErr, RpcReplyPort};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use crate::receptionist::Change;
use crate::router::call;
use crate::{Receptionist, ServiceKey, ToolError, ToolSettings};

struct Kept<M> {
    until: Instant,
    message: M,
}

struct Inner<M> {
    key: ServiceKey<M>,
    name: Arc<str>,
    present: watch::Receiver<Change>,
    clock: Arc<dyn Clock>,
    settings: Arc<ToolSettings>,
    kept: Mutex<VecDeque<Kept<M>>>,
    has_kept: Arc<Notify>,
    calls: Semaphore,
    dropped: IntCounterVec,
}

/// The way to a singleton, wherever it runs. Cheap to clone; clones share their buffer.
///
/// Messages of one proxy come in their order. While the singleton moves, they wait in a buffer:
/// `singleton_buffer_max` of them, for `singleton_buffer_timeout`. A message that the singleton had
/// in its mailbox when its node ended is lost: each message comes at most once.
pub struct SingletonProxy<M> {
    inner: Arc<Inner<M>>,
}

impl<M> Clone for SingletonProxy<M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<M: Message> SingletonProxy<M> {
    /// A proxy of the singleton of that name, at a node that need not take part in it.
    ///
    /// # Errors
    /// [`ToolError::Key`] when the name has a form that no key has, and the errors of
    /// [`Receptionist::subscribe`].
    pub fn of(node: &Node, name: &str) -> Result<Self, ToolError> {
        let key = ServiceKey::<M>::of_tool("singleton", name)?;
        let settings = ToolSettings::of(node);
        let present = Receptionist::of(node).watch(&key.service())?;
        let has_kept = Arc::new(Notify::new());
        let inner = Arc::new(Inner {
            key,
            name: name.into(),
            present: present.clone(),
            clock: node.clock().clone(),
            calls: Semaphore::new(settings.singleton_buffer_max),
            settings,
            kept: Mutex::default(),
            has_kept: has_kept.clone(),
            dropped: node.metrics().counters_of("antiphon_singleton_dropped_total"),
        });
        // the caller may be on a thread without a runtime
        let _runtime = node.runtime().enter();
        node.spawn("singleton proxy", pump(Arc::downgrade(&inner), present, has_kept));
        Ok(Self { inner })
    }

    /// The actor as this node knows it now; `None` while it moves.
    pub fn actor(&self) -> Option<ActorRef<M>> {
        self.inner.actor()
    }

    /// Sends a message to the singleton, or keeps it until there is one.
    ///
    /// # Errors
    /// [`ToolError::Full`] when the singleton moves and `singleton_buffer_max` messages wait.
    pub fn send(&self, message: M) -> Result<(), ToolError> {
        let inner = &self.inner;
        let mut kept = inner.kept.lock();
        // those that wait go first
        let refused = if kept.is_empty() { inner.hand_over(message).err() } else { Some(message) };
        let Some(message) = refused else { return Ok(()) };
        let max = inner.settings.singleton_buffer_max;
        if kept.len() >= max {
            inner.dropped.with_label_values(&["singleton_buffer_max"]).inc();
            return Err(inner.full(max));
        }
        let until = inner.clock.now() + inner.settings.singleton_buffer_timeout;
        kept.push_back(Kept { until, message });
        drop(kept);
        inner.has_kept.notify_one();
        Ok(())
    }

    /// Calls the singleton. Waits for `limit` at most: for the singleton, while it moves, and for
    /// its answer.
    ///
    /// Cancellation: dropping the future gives the answer up; the message may have been sent.
    ///
    /// # Errors
    /// [`ToolError::Nobody`] when no singleton is there within the time: the message was not sent.
    /// [`ToolError::Timeout`] without an answer; [`ToolError::Ended`] when the singleton ended, or
    /// dropped the call: the message may have had its effect. [`ToolError::Full`] when
    /// `singleton_buffer_max` calls of this proxy wait for the singleton.
    pub async fn call<R: Send + 'static>(
        &self,
        limit: Duration,
        message: impl FnOnce(RpcReplyPort<R>) -> M,
    ) -> Result<R, ToolError> {
        let inner = &self.inner;
        let until = inner.clock.now() + limit;
        let actor = match inner.actor() {
            Some(actor) => actor,
            None => inner.wait_for_actor(until).await?,
        };
        let left = until.saturating_duration_since(inner.clock.now());
        call(&inner.key, &actor, left, message).await.map_err(|error| inner.named(error, limit))
    }
}

impl<M: Message> Inner<M> {
    /// Waits for the singleton, in the room for those that wait.
    async fn wait_for_actor(&self, until: Instant) -> Result<ActorRef<M>, ToolError> {
        let Ok(_room) = self.calls.try_acquire() else {
            self.dropped.with_label_values(&["singleton_buffer_max"]).inc();
            return Err(self.full(self.settings.singleton_buffer_max));
        };
        let mut present = self.present.clone();
        loop {
            present.borrow_and_update();
            if let Some(actor) = self.actor() {
                return Ok(actor);
            }
            let changed = tokio::time::timeout_at(until, present.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return Err(ToolError::Nobody { key: self.name.to_string() });
            }
        }
    }

    fn full(&self, max: usize) -> ToolError {
        ToolError::Full { key: self.name.to_string(), setting: "singleton_buffer_max", max }
    }

    /// The error with the name of the singleton, and the limit of the caller.
    fn named(&self, error: ToolError, limit: Duration) -> ToolError {
        let key = self.name.to_string();
        if matches!(error, ToolError::Timeout { .. }) {
            ToolError::Timeout { key, limit }
        } else {
            ToolError::Ended { key }
        }
    }

    /// The newest holder that has not ended: while a singleton moves, the node may still know the
    /// one before.
    fn actor(&self) -> Option<ActorRef<M>> {
        let change = self.present.borrow();
        let newest = change.actors.iter().max_by_key(|found| (found.rank, found.pid))?;
        let is_there = newest.actor.get_status() < ActorStatus::Draining;
        is_there.then(|| newest.actor.clone().into())
    }

    /// Hands a message to the singleton, or gives it back.
    fn hand_over(&self, message: M) -> Result<(), M> {
        let Some(actor) = self.actor() else { return Err(message) };
        match actor.send_message(message) {
            Ok(()) => Ok(()),
            Err(MessagingErr::SendErr(message)) => Err(message),
            Err(MessagingErr::ChannelClosed | MessagingErr::InvalidActorType) => {
                self.dropped.with_label_values(&["unreachable"]).inc();
                Ok(())
            }
        }
    }

    /// Hands over the messages that wait, drops those whose time has passed, and returns the end of
    /// the time of the next one.
    fn flush(&self) -> Option<Instant> {
        let mut late = Vec::new();
        let mut kept = self.kept.lock();
        let now = self.clock.now();
        while let Some(Kept { until, message }) = kept.pop_front() {
            if until <= now {
                self.dropped.with_label_values(&["singleton_buffer_timeout"]).inc();
                late.push(message);
            } else if let Err(message) = self.hand_over(message) {
                kept.push_front(Kept { until, message });
                break;
            }
        }
        let next = kept.front().map(|kept| kept.until);
        // the destructors of application code run outside of the lock
        drop(kept);
        guard::drop_each("message to a singleton", &self.name, late);
        next
    }
}

impl<M> Drop for Inner<M> {
    fn drop(&mut self) {
        self.has_kept.notify_one();
    }
}

/// Hands over the messages that wait, until the last proxy is dropped.
async fn pump<M: Message>(
    inner: Weak<Inner<M>>,
    mut present: watch::Receiver<Change>,
    has_kept: Arc<Notify>,
) {
    loop {
        present.borrow_and_update();
        let Some(next) = inner.upgrade().map(|inner| inner.flush()) else { return };
        let until = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = present.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = has_kept.notified() => {}
            () = until => {}
        }
    }
}
