//! Reading ahead: streams that are read page by page, and their next pages, requested before the
//! reader asks.
//!
//! A page that was read ahead is used for a short time only, and a deletion through this session
//! forgets it at once. Events never change, so an older page can only have fewer events; the replay
//! then looks for the missing events as usual.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use antiphon_base::task;
use antiphon_base::time::{Clock, SystemClock};
use parking_lot::{Mutex, MutexGuard};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::page::PageKey;
use crate::log::writer::Shared;
use crate::settings::READ_AHEAD_PAGES_LIMIT;
use crate::stats::count;
use crate::tables::{EventRow, Outcome, StreamRow};

/// The row of a stream, and a page of its events.
pub(super) type StreamPage = (StreamRow, Vec<EventRow>);

/// A page that was requested ahead of its reader.
pub(super) struct PageAhead {
    pub(super) key: PageKey,
    asked_at: Instant,
    answer: JoinHandle<Outcome<StreamPage>>,
}

impl PageAhead {
    /// Starts to read the page.
    pub(super) fn ask(shared: &Arc<Shared>, stream: &Arc<str>, key: PageKey) -> Self {
        let (tables, stream) = (shared.tables.clone(), stream.clone());
        let asked_at = SystemClock.now();
        let answer = task::spawn("read ahead", async move {
            futures::try_join!(tables.stream(&stream), key.read(&*tables, &stream))
        });
        Self { key, asked_at, answer }
    }

    /// Waits for the page. `None` when the read failed, so that the page must be read again.
    pub(super) async fn answer(mut self) -> Option<StreamPage> {
        (&mut self.answer).await.ok()?.ok()
    }
}

impl Drop for PageAhead {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

/// Streams whose last page ended at a limit, with the start of the next page. At most
/// [`READ_AHEAD_PAGES_LIMIT`] streams; the oldest is dropped first.
#[derive(Default)]
pub(crate) struct ReadAhead(Mutex<State>);

#[derive(Default)]
struct State {
    kept: VecDeque<Kept>,
    /// True while a task runs that forgets pages without a reader.
    watched: bool,
}

struct Kept {
    stream: Arc<str>,
    next: u64,
    page: Option<PageAhead>,
}

impl ReadAhead {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Takes the entry of a stream whose last page ended just before `first`, with the next page if
    /// it was requested.
    pub(super) fn take(
        &self,
        shared: &Shared,
        stream: &Arc<str>,
        first: u64,
    ) -> Option<Option<PageAhead>> {
        let mut state = self.lock();
        state.forget_old(shared);
        let known = |kept: &Kept| kept.next == first && kept.stream == *stream;
        let index = state.kept.iter().position(known)?;
        Some(state.kept.remove(index)?.page)
    }

    /// Records that a page of a stream ended before `next`. Requests the next page, unless too many
    /// are under way.
    pub(super) fn enter(&self, shared: &Arc<Shared>, stream: &Arc<str>, next: u64, key: PageKey) {
        let mut state = self.lock();
        state.forget_old(shared);
        if state.kept.len() >= READ_AHEAD_PAGES_LIMIT
            && let Some(Kept { page: Some(_), .. }) = state.kept.pop_front()
        {
            count(&shared.counters.pages_ahead_unused, 1);
        }
        let room = state.pages() < shared.settings.read_ahead_pages_max;
        // requested under the lock: a deletion that ends later finds the page here
        let page = room.then(|| PageAhead::ask(shared, stream, key));
        if page.is_some() {
            count(&shared.counters.pages_ahead, 1);
            if !std::mem::replace(&mut state.watched, true) {
                task::spawn("forget what was read ahead", watch(Arc::downgrade(shared)));
            }
        }
        state.kept.push_back(Kept { stream: stream.clone(), next, page });
    }

    /// Forgets the pages of a stream.
    pub(crate) fn forget(&self, shared: &Shared, stream: &Arc<str>) {
        self.lock().kept.retain(|kept| {
            let other = kept.stream != *stream;
            count(&shared.counters.pages_ahead_unused, u64::from(!other && kept.page.is_some()));
            other
        });
    }
}

impl State {
    fn pages(&self) -> usize {
        self.kept.iter().filter(|kept| kept.page.is_some()).count()
    }

    fn forget_old(&mut self, shared: &Shared) {
        let now = SystemClock.now();
        let is_old = |page: &mut PageAhead| {
            now.duration_since(page.asked_at) >= shared.settings.read_ahead_age_max
        };
        for kept in &mut self.kept {
            if kept.page.take_if(is_old).is_some() {
                count(&shared.counters.pages_ahead_unused, 1);
            }
        }
    }
}

/// Forgets old pages until none is left, or until the stores end.
async fn watch(shared: Weak<Shared>) {
    while let Some(wait) = shared.upgrade().map(|shared| shared.settings.read_ahead_age_max) {
        tokio::time::sleep(wait.max(WATCH_MIN)).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut state = shared.read_ahead.lock();
        state.forget_old(&shared);
        if state.pages() == 0 {
            state.watched = false;
            return;
        }
    }
}

const WATCH_MIN: Duration = Duration::from_millis(10);
