//! The shell of one link: its core behind a lock, its asks, the task that flushes it, and the task
//! that hands over long messages.
//!
//! The flusher waits to be woken, lets every other task that is ready run first (so that their
//! messages go into the same frame), and then sends all waiting messages. An idle link costs no
//! timer and a single message no delay.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::budget::Budget;
use super::core::{Effect, Input, LinkCore};
use super::record::Message;
use crate::NodeId;
use crate::gate::asks::Asks;
use crate::gate::served::Served;
use crate::gate::settings::GateSettings;

pub(crate) struct Link {
    /// The node at the other end.
    pub(crate) id: NodeId,
    pub(crate) asks: Arc<Asks>,
    /// The requests of the other node.
    served: Arc<Served>,
    pub(crate) wake: Notify,
    core: Mutex<LinkCore>,
    /// Equals [`LinkCore::is_up`] after the last step, so that the question takes no lock.
    up: AtomicBool,
    flusher: Mutex<Option<JoinHandle<()>>>,
    later: Mutex<Later>,
    /// Number of the current connection, different for each connection; zero before the first.
    pub(crate) connection: AtomicU64,
    /// True when this node asked for the link; otherwise the link is forgotten when its connection
    /// ends.
    wanted: AtomicBool,
}

/// Messages that are handed over by a task; the task runs while there are any.
#[derive(Default)]
struct Later {
    messages: VecDeque<Message>,
    is_running: bool,
}

impl Link {
    pub(crate) fn new(
        id: NodeId,
        settings: &GateSettings,
        strangers: &Arc<Budget>,
        first_stream: u64,
    ) -> Self {
        Self {
            id,
            asks: Arc::new(Asks::new(settings.asks_max)),
            served: Served::new(settings, strangers.clone()),
            wake: Notify::new(),
            core: Mutex::new(LinkCore::new(settings.clone(), strangers.clone(), first_stream)),
            up: AtomicBool::new(false),
            flusher: Mutex::default(),
            later: Mutex::default(),
            connection: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
        }
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, LinkCore> {
        self.core.lock()
    }

    /// The asks to the other node, and the requests of it.
    pub(crate) fn ends(&self) -> (&Asks, Option<&Arc<Served>>) {
        (&self.asks, Some(&self.served))
    }

    /// Steps the core.
    pub(crate) fn step(&self, now: Instant, input: Input) -> Vec<Effect> {
        let mut core = self.core();
        let effects = core.step(now, input);
        self.up.store(core.is_up(), Ordering::Release);
        effects
    }

    /// Returns whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(crate) fn set_flusher(&self, task: JoinHandle<()>) {
        *self.flusher.lock() = Some(task);
    }

    pub(crate) fn stop_flusher(&self) {
        if let Some(task) = self.flusher.lock().take() {
            task.abort();
        }
    }

    /// Notes that this node asked for the link: the other node is a member.
    pub(crate) fn want(&self, members: &Arc<Budget>) {
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.served.join();
            self.core().join(members);
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Keeps a message for the task that hands them over. Returns whether the task must be started.
    pub(crate) fn keep(&self, message: Message) -> bool {
        let mut later = self.later();
        later.messages.push_back(message);
        !std::mem::replace(&mut later.is_running, true)
    }

    /// The next message that was kept; the task ends when there is none.
    pub(crate) fn next_kept(&self) -> Option<Message> {
        let mut later = self.later();
        let next = later.messages.pop_front();
        if next.is_none() {
            *later = Later::default();
        }
        next
    }

    fn later(&self) -> MutexGuard<'_, Later> {
        self.later.lock()
    }
}
