//! Limits on the events and bytes between the reader and the end of the pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The credit that the reader and the actor share.
#[derive(Clone)]
pub(super) struct Flow {
    credit: Arc<Semaphore>,
    /// Bytes sent by the reader since the start.
    sent: Arc<AtomicUsize>,
    /// Bytes done since the start.
    done: watch::Sender<usize>,
    held_bytes_max: usize,
}

impl Flow {
    pub(super) fn new(event_count: usize, held_bytes_max: usize) -> Self {
        let credit = Arc::new(Semaphore::new(event_count.min(Semaphore::MAX_PERMITS)));
        let (done, _) = watch::channel(0);
        Self { credit, sent: Arc::default(), done, held_bytes_max }
    }

    /// Waits until at least one event may be read. Gives credit for at most `count_max` events.
    /// None after [`close`](Self::close).
    pub(super) async fn acquire(&self, count_max: usize) -> Option<OwnedSemaphorePermit> {
        let mut room = self.done.subscribe();
        let is_room = |done: &usize| {
            self.sent.load(Ordering::Acquire).saturating_sub(*done) < self.held_bytes_max
        };
        room.wait_for(is_room).await.ok()?;
        let mut permit = self.credit.clone().acquire_owned().await.ok()?;
        let more = self.credit.available_permits().min(count_max.saturating_sub(1));
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if let Ok(more) = self.credit.clone().try_acquire_many_owned(more) {
            permit.merge(more);
        }
        Some(permit)
    }

    /// Uses `count` events' worth of a permit, and returns the rest.
    pub(super) fn sent(&self, mut permit: OwnedSemaphorePermit, count: usize, bytes: usize) {
        if let Some(used) = permit.split(count) {
            used.forget();
        }
        self.sent.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn release(&self, count: usize) {
        self.credit.add_permits(count);
    }

    /// Records the total number of bytes that are done since the start.
    pub(super) fn done(&self, bytes: usize) {
        self.done.send_if_modified(|done| {
            let is_new = *done != bytes;
            *done = bytes;
            is_new
        });
    }

    /// Stops reading for good.
    pub(super) fn close(&self) {
        self.credit.close();
    }
}
