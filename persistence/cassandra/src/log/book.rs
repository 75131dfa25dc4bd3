//! The bookkeeping of an open writer: the rounds that are stored and not copied, and the reason for
//! which the writer has ended in this process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use antiphon_base::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::entry::Entry;
use crate::tables::LanePosition;

/// The bookkeeping of a writer.
pub(super) struct Book {
    state: Mutex<State>,
    /// Bytes of rounds that are not copied; changed under the lock only.
    uncopied_bytes: AtomicUsize,
    /// Notified when a round was copied.
    pub(super) copied: Notify,
    /// Notified when more bytes wait for the copy than half of the limit.
    pub(super) copy_now: Notify,
}

struct State {
    /// Stored rounds that are not copied, by lane.
    uncopied: Vec<VecDeque<Uncopied>>,
    ended: Option<(ErrorKind, String)>,
}

/// A stored round that is not copied.
#[derive(Debug, Clone)]
pub(super) struct Uncopied {
    pub(super) at: LanePosition,
    pub(super) entries: Arc<[Entry]>,
    pub(super) bytes: usize,
    pub(super) stored: Instant,
}

impl Book {
    /// The book of a new writer.
    pub(super) fn new(lanes: u16) -> Self {
        let state = State { uncopied: (0..lanes).map(|_| VecDeque::new()).collect(), ended: None };
        Self {
            state: Mutex::new(state),
            uncopied_bytes: AtomicUsize::new(0),
            copied: Notify::new(),
            copy_now: Notify::new(),
        }
    }

    /// Adds a round that was stored. Returns the bytes that wait for the copy.
    ///
    /// # Panics
    /// When the round is not after the last one of its lane: the copy would miss a round, and the
    /// watermark would pass it.
    pub(super) fn stored(&self, lane: u16, round: Uncopied) -> usize {
        let mut state = self.state.lock();
        let bytes = round.bytes + self.uncopied_bytes.fetch_add(round.bytes, Ordering::AcqRel);
        let rounds = &mut state.uncopied[usize::from(lane)];
        if let Some(last) = rounds.back() {
            let (last, next) = (last.at, round.at);
            assert!(next.nr == last.nr + 1, "lane {lane}: round {next:?} is stored after {last:?}");
            assert!(next.part >= last.part, "lane {lane}: round {next:?} is in an older part");
        }
        rounds.push_back(round);
        bytes
    }

    /// The leading rounds of each lane that `is_due` names.
    pub(super) fn due(&self, is_due: impl Fn(&Uncopied) -> bool) -> Vec<Vec<Uncopied>> {
        let state = self.state.lock();
        let due = |rounds: &VecDeque<Uncopied>| {
            rounds.iter().take_while(|round| is_due(round)).cloned().collect()
        };
        state.uncopied.iter().map(due).collect()
    }

    /// Removes the rounds of a lane up to `copied`.
    pub(super) fn copied(&self, lane: usize, copied: LanePosition) {
        let mut state = self.state.lock();
        let rounds = &mut state.uncopied[lane];
        while rounds.front().is_some_and(|round| round.at.nr <= copied.nr) {
            let bytes = rounds.pop_front().map_or(0, |round| round.bytes);
            let before = self.uncopied_bytes.fetch_sub(bytes, Ordering::AcqRel);
            assert!(before >= bytes, "more bytes are copied than were stored");
        }
    }

    /// Bytes of rounds that are not copied.
    pub(super) fn uncopied_bytes(&self) -> usize {
        self.uncopied_bytes.load(Ordering::Acquire)
    }

    /// Ends the writer in this process. Returns false when it had ended before; the first reason
    /// stays.
    pub(super) fn end(&self, kind: ErrorKind, message: &str) -> bool {
        let is_first = {
            let ended = &mut self.state.lock().ended;
            let is_first = ended.is_none();
            ended.get_or_insert_with(|| (kind, message.to_owned()));
            is_first
        };
        self.copied.notify_waiters();
        is_first
    }

    /// Fails when the writer has ended.
    pub(super) fn ended(&self) -> Result<()> {
        match &self.state.lock().ended {
            Some((kind, message)) => Err(Error::new(*kind, message.clone())),
            None => Ok(()),
        }
    }
}
