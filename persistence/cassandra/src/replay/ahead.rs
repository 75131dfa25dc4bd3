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
use crate::settings::{CassandraSettings, READ_AHEAD_PAGES_LIMIT};
use crate::stats::{Counters, count};
use crate::tables::{EventRow, Outcome, StreamRow, Tables};

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
    fn ask(tables: Arc<dyn Tables>, stream: Arc<str>, key: PageKey) -> Self {
        let asked_at = SystemClock.now();
        let answer = task::spawn("read ahead", async move {
            futures::try_join!(tables.stream(&stream), key.read(&*tables, &stream))
        });
        Self { key, asked_at, answer }
    }

    /// Waits for the page. `None` when the read failed, so that the page must be read again. A
    /// cancelled call stops the read.
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
pub(crate) struct ReadAhead(Arc<Inner>);

struct Inner {
    tables: Arc<dyn Tables>,
    counters: Arc<Counters>,
    pages_max: usize,
    age_max: Duration,
    state: Mutex<State>,
}

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
    pub(crate) fn new(
        tables: Arc<dyn Tables>,
        counters: Arc<Counters>,
        settings: &CassandraSettings,
    ) -> Self {
        Self(Arc::new(Inner {
            tables,
            counters,
            pages_max: settings.read_ahead_pages_max,
            age_max: settings.read_ahead_age_max,
            state: Mutex::default(),
        }))
    }

    /// Takes the entry of a stream whose last page ended just before `first`, with the next page if
    /// it was requested.
    pub(super) fn take(&self, stream: &Arc<str>, first: u64) -> Option<Option<PageAhead>> {
        let mut state = self.0.lock_fresh();
        let known = |kept: &Kept| kept.next == first && kept.stream == *stream;
        let index = state.kept.iter().position(known)?;
        Some(state.kept.remove(index)?.page)
    }

    /// Records that a page of a stream ended before `next`. Requests the next page, unless too many
    /// are under way.
    pub(super) fn enter(&self, stream: &Arc<str>, next: u64, key: PageKey) {
        let inner = &*self.0;
        let mut state = inner.lock_fresh();
        if state.kept.len() >= READ_AHEAD_PAGES_LIMIT
            && let Some(Kept { page: Some(_), .. }) = state.kept.pop_front()
        {
            count(&inner.counters.pages_ahead_unused, 1);
        }
        let room = state.pages() < inner.pages_max;
        // requested under the lock: a deletion that ends later finds the page here
        let page = room.then(|| PageAhead::ask(inner.tables.clone(), stream.clone(), key));
        if page.is_some() {
            count(&inner.counters.pages_ahead, 1);
            if !std::mem::replace(&mut state.watched, true) {
                task::spawn("forget what was read ahead", watch(Arc::downgrade(&self.0)));
            }
        }
        state.kept.push_back(Kept { stream: stream.clone(), next, page });
        assert!(state.kept.len() <= READ_AHEAD_PAGES_LIMIT, "too many replays are remembered");
    }

    /// Forgets the pages of a stream.
    pub(crate) fn forget(&self, stream: &Arc<str>) {
        let counters = &self.0.counters;
        self.0.state.lock().kept.retain(|kept| {
            let other = kept.stream != *stream;
            count(&counters.pages_ahead_unused, u64::from(!other && kept.page.is_some()));
            other
        });
    }
}

impl Inner {
    /// Locks the state, and forgets old pages.
    fn lock_fresh(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        let now = SystemClock.now();
        let is_old = |page: &mut PageAhead| now.duration_since(page.asked_at) >= self.age_max;
        for kept in &mut state.kept {
            if kept.page.take_if(is_old).is_some() {
                count(&self.counters.pages_ahead_unused, 1);
            }
        }
        state
    }
}

impl State {
    fn pages(&self) -> usize {
        self.kept.iter().filter(|kept| kept.page.is_some()).count()
    }
}

/// Forgets old pages until none is left, or until the stores end.
async fn watch(inner: Weak<Inner>) {
    while let Some(wait) = inner.upgrade().map(|inner| inner.age_max) {
        tokio::time::sleep(wait.max(WATCH_MIN)).await;
        let Some(inner) = inner.upgrade() else { return };
        let mut state = inner.lock_fresh();
        if state.pages() == 0 {
            state.watched = false;
            return;
        }
    }
}

const WATCH_MIN: Duration = Duration::from_millis(10);
