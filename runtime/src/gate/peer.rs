//! The shell of one link: its core behind a lock, its asks, and the task that flushes it.
//!
//! The flusher waits to be woken, lets every other task that is ready run first (so that what they send goes into the
//! same frame), and then sends all that waits. An idle link costs no timer and a lone message no delay.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::GateSettings;
use super::asks::Asks;
use super::link::LinkCore;
use crate::NodeId;

pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) asks: Arc<Asks>,
    pub(super) wake: Notify,
    core: Mutex<LinkCore>,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

impl Peer {
    pub(super) fn new(id: NodeId, settings: &GateSettings, first_stream: u64) -> Self {
        Self {
            id,
            asks: Arc::new(Asks::new(settings.asks_max)),
            wake: Notify::new(),
            core: Mutex::new(LinkCore::new(settings.clone(), first_stream)),
            flusher: Mutex::default(),
        }
    }

    pub(super) fn core(&self) -> MutexGuard<'_, LinkCore> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_flusher(&self, task: JoinHandle<()>) {
        *self.flusher.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    pub(super) fn stop_flusher(&self) {
        if let Some(task) = self.flusher.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}
