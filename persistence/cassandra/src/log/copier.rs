//! The task that copies the stored events of a writer: late, and many events of a stream at once.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::Result;
use antiphon_base::time::{Clock, SystemClock};

use super::book::{Book, Uncopied};
use super::broken::PanicGuard;
use super::copy_plan::{is_due, is_pressing};
use crate::shared::Shared;
use crate::tables::LaneId;

/// The copy task of a writer.
pub(super) struct Copier {
    pub(super) lanes: Vec<LaneId>,
    pub(super) book: Arc<Book>,
    pub(super) shared: Arc<Shared>,
}

impl Copier {
    /// Runs until the writer ends. When it is stopped earlier, the next copier writes the same
    /// events again.
    pub(super) async fn run(self) {
        let (book, shared) = (self.book.clone(), self.shared.clone());
        let _guard = PanicGuard { task: "cassandra copier", book, shared };
        let delay = self.shared.settings.copy_delay;
        loop {
            tokio::select! {
                () = tokio::time::sleep(delay.max(Duration::from_millis(1))) => {}
                () = self.book.copy_now.notified() => {}
            }
            if self.book.ended().is_err() {
                // the process that sealed the writer copies the rest
                return;
            }
            let Err(error) = self.copy_due().await else { continue };
            tracing::error!(%error, "events of the log cannot be copied");
        }
    }

    async fn copy_due(&self) -> Result<()> {
        let Shared { settings, view, .. } = &*self.shared;
        let pressing = is_pressing(self.book.uncopied_bytes(), settings.uncopied_bytes_max);
        let now = SystemClock.now();
        let due: Vec<Vec<Uncopied>> = self
            .book
            .due(|round| is_due(pressing, now.duration_since(round.stored), settings.copy_delay));
        if due.iter().all(Vec::is_empty) {
            return Ok(());
        }
        let copying = self.shared.copying();
        let rounds = due.iter().flatten();
        copying.copy(rounds.flat_map(|round| round.entries.iter().cloned())).await?;
        for (index, (lane, rounds)) in self.lanes.iter().zip(&due).enumerate() {
            let Some(copied) = rounds.last().map(|round| round.at) else { continue };
            copying.mark_copied(lane, copied).await;
            view.copied(lane, copied.nr);
            self.book.copied(index, copied);
        }
        self.book.copied.notify_waiters();
        Ok(())
    }
}
