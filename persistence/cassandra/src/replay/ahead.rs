//! Streams that are read page by page, and their next pages, asked for before the reader comes.
//!
//! A page that was asked for ahead is used for a short time only, and a deletion through this session forgets it at once. What is missing in it
//! is looked for as ever: events never change, so that an older page can only have fewer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use antiphon_persistence::task;
use antiphon_persistence::time::{Clock, SystemClock};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::page::PageKey;
use crate::log::writer::Shared;
use crate::settings::READ_AHEAD_PAGES_LIMIT;
use crate::stats::count;
use crate::tables::{EventRow, Outcome, StreamRow};

/// What is known of a stream, and a page of its events.
pub(super) type StreamPage = (StreamRow, Vec<EventRow>);

/// A page that was asked for ahead.
pub(super) struct PageAhead {
    pub(super) key: PageKey,
    asked_at: Instant,
    answer: JoinHandle<Outcome<StreamPage>>,
}

impl PageAhead {
    /// Asks for it now.
    pub(super) fn ask(shared: &Arc<Shared>, stream: &Arc<str>, key: PageKey) -> Self {
        let (tables, stream) = (shared.tables.clone(), stream.clone());
        let asked_at = SystemClock.now();
        let answer = task::spawn("read ahead", async move {
            futures::try_join!(tables.stream(&stream), key.read(&*tables, &stream))
        });
        Self { key, asked_at, answer }
    }

    /// `None` when it failed, and is to be asked for again.
    pub(super) async fn answer(mut self) -> Option<StreamPage> {
        (&mut self.answer).await.ok()?.ok()
    }
}

impl Drop for PageAhead {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

/// Streams whose last page was cut off, and where the next one begins; of many, those that were read last.
#[derive(Default)]
pub(crate) struct ReadAhead(Mutex<State>);

#[derive(Default)]
struct State {
    kept: VecDeque<Kept>,
    /// Whether a task is there that forgets the pages for which nobody comes.
    watched: bool,
}

struct Kept {
    stream: Arc<str>,
    next: u64,
    page: Option<PageAhead>,
}

impl ReadAhead {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a page ended just before `first`, and then the next one, if it was asked for.
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

    /// A page of a stream ends before `next`; the one after it is asked for, unless too many are.
    pub(super) fn enter(&self, shared: &Arc<Shared>, stream: &Arc<str>, next: u64, key: PageKey) {
        let mut state = self.lock();
        state.forget_old(shared);
        if state.kept.len() >= READ_AHEAD_PAGES_LIMIT
            && let Some(Kept { page: Some(_), .. }) = state.kept.pop_front()
        {
            count(&shared.counters.pages_ahead_unused, 1);
        }
        let room = state.pages() < shared.settings.read_ahead_pages_max;
        // asked for while it is locked: a deletion that has ended since finds it here
        let page = room.then(|| PageAhead::ask(shared, stream, key));
        if page.is_some() {
            count(&shared.counters.pages_ahead, 1);
            if !std::mem::replace(&mut state.watched, true) {
                task::spawn("forget what was read ahead", watch(Arc::downgrade(shared)));
            }
        }
        state.kept.push_back(Kept { stream: stream.clone(), next, page });
    }

    /// Forgets what was read of a stream.
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

/// Forgets pages for which nobody comes, until there are none. The stores may end meanwhile.
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
