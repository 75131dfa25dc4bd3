//! The task that copies the stored events of a writer: late, and many events of a stream at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon_base::Result;
use antiphon_base::time::{Clock, SystemClock};

use super::copy;
use super::round::Entry;
use super::writer::{Book, Shared, Uncopied};
use crate::tables::{LaneId, LanePosition};

/// The copy task of a writer.
pub(super) struct Copier {
    pub(super) lanes: Vec<LaneId>,
    pub(super) book: Arc<Book>,
    pub(super) shared: Arc<Shared>,
}

impl Copier {
    /// Runs until the writer ends.
    pub(super) async fn run(self) {
        let delay = self.shared.settings.copy_delay;
        loop {
            tokio::select! {
                () = tokio::time::sleep(delay.max(Duration::from_millis(1))) => {}
                () = self.book.copy_now.notified() => {}
            }
            if self.book.lock().ended.is_some() {
                // the process that sealed the writer copies the rest
                return;
            }
            let Err(error) = self.copy_due().await else { continue };
            tracing::error!(%error, "events of the log cannot be copied");
        }
    }

    async fn copy_due(&self) -> Result<()> {
        let shared = &self.shared;
        let full = self.book.uncopied_bytes.load(Ordering::Acquire)
            > shared.settings.uncopied_bytes_max / 2;
        let now = SystemClock.now();
        let due: Vec<Vec<(LanePosition, Arc<[Entry]>)>> = {
            let book = self.book.lock();
            let due = |round: &&Uncopied| {
                full || now.duration_since(round.stored) >= shared.settings.copy_delay / 2
            };
            let of_lane = |rounds: &VecDeque<Uncopied>| {
                let due = rounds.iter().take_while(due);
                due.map(|round| (round.at, round.entries.clone())).collect()
            };
            book.uncopied.iter().map(of_lane).collect()
        };
        let entries: Vec<Entry> =
            due.iter().flatten().flat_map(|(_, entries)| entries.iter().cloned()).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let Shared { tables, settings, counters, partition_events_max, .. } = &**shared;
        copy::copy(tables, settings, counters, *partition_events_max, entries.into_iter()).await?;
        for (index, (lane, rounds)) in self.lanes.iter().zip(&due).enumerate() {
            let Some((copied, _)) = rounds.last() else { continue };
            copy::mark_copied(tables, settings, counters, lane, *copied).await;
            shared.view.copied(lane, copied.nr);
            let mut bytes = 0;
            {
                let mut book = self.book.lock();
                let rounds = &mut book.uncopied[index];
                while rounds.front().is_some_and(|round| round.at.nr <= copied.nr) {
                    bytes += rounds.pop_front().map_or(0, |round| round.bytes);
                }
            }
            self.book.uncopied_bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
        self.book.copied.notify_waiters();
        Ok(())
    }
}
