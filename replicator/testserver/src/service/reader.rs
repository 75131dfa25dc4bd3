//! A reader: a read that ends, or a subscription without an end.

use std::collections::VecDeque;
use std::sync::Arc;

use antiphon_eventstore::wire;
use antiphon_eventstore::wire::streams::{ReadResp, read_resp};
use futures::stream;
use tokio::sync::watch;
use tonic::Status;

use super::request::{Answers, answers};
use crate::group::formed;
use crate::node::Node;
use crate::refusal;
use crate::store::{EventFilter, Found, StreamPage, TOMBSTONE, now_ticks, position};

/// Largest number of entries read while the store is locked.
const PAGE: usize = 256;

/// Number of events that a real server reads at once, by which it tells where a stream begins.
const BATCH: u64 = 32;

/// The source of a reader.
pub(super) enum Source {
    Stream(String),
    All { filter: Option<EventFilter>, checkpoint_interval: u64 },
}

/// The end of a reader.
pub(super) enum End {
    /// After this many events.
    After(u64),
    /// Never.
    Never(Live),
}

/// The live state of a subscription.
pub(super) struct Live {
    head: watch::Receiver<usize>,
    ended: watch::Receiver<u64>,
    confirmed: bool,
    caught_up: bool,
    /// True after the tombstone of the stream.
    buried: bool,
}

pub(super) struct Reader {
    pub(super) node: Arc<Node>,
    pub(super) source: Source,
    pub(super) resolve: bool,
    /// True when ids are sent as text.
    pub(super) text_ids: bool,
    pub(super) forwards: bool,
    /// The position to continue from; none at the end of a read.
    pub(super) next: Option<u64>,
    pub(super) end: End,
    pub(super) queue: VecDeque<ReadResp>,
    /// Number of entries since the last checkpoint.
    pub(super) unreported: u64,
    /// True when a read tells the ends of its stream, as clients since 21.10 expect.
    pub(super) tells_ends: bool,
    /// True before the first page.
    pub(super) is_new: bool,
}

impl Live {
    pub(super) fn new(node: &Node) -> Self {
        let head = node.store().head();
        let ended = node.faults.ended();
        Self { head, ended, confirmed: false, caught_up: false, buried: false }
    }
}

impl Reader {
    pub(super) fn answers(self) -> Answers<ReadResp> {
        answers(stream::unfold(
            self,
            |mut reader| async move { Some((reader.answer().await?, reader)) },
        ))
    }

    async fn answer(&mut self) -> Option<Result<ReadResp, Status>> {
        loop {
            if let End::Never(live) = &mut self.end
                && !live.confirmed
            {
                live.confirmed = true;
                let id = uuid::Uuid::new_v4().to_string();
                let confirmation = read_resp::Confirmation { subscription_id: id };
                return Some(Ok(content(read_resp::Content::Confirmation(confirmation))));
            }
            if let Some(queued) = self.queue.pop_front() {
                return Some(Ok(queued));
            }
            match self.fill() {
                Err(status) => return Some(Err(status)),
                Ok(true) => continue,
                Ok(false) => {}
            }
            let End::Never(live) = &mut self.end else { return None };
            if !live.caught_up {
                live.caught_up = true;
                self.catch_up();
                continue;
            }
            tokio::select! {
                changed = live.head.changed() => changed.ok()?,
                _ = live.ended.changed() => return None,
            }
        }
    }

    /// Tells that everything of the past was sent, after a checkpoint if there is a filter.
    fn catch_up(&mut self) {
        let done = self.next.and_then(|next| next.checked_sub(1));
        let turn = match &self.source {
            Source::Stream(_) => read_resp::Turn {
                timestamp: Some(now()),
                revision: done.and_then(|done| i64::try_from(done).ok()),
                position: None,
            },
            Source::All { filter, .. } => {
                let at = done.map(|done| position(usize::try_from(done).unwrap_or(usize::MAX)));
                if let Some(at) = at.filter(|_| filter.is_some()) {
                    self.unreported = 0;
                    self.queue.push_back(checkpoint(at));
                }
                let position = at.map(|at| wire::Position { commit: at, prepare: at });
                read_resp::Turn { timestamp: Some(now()), revision: None, position }
            }
        };
        self.queue.push_back(content(read_resp::Content::CaughtUp(turn)));
    }

    /// Reads a page. Returns true when there may be another one.
    fn fill(&mut self) -> Result<bool, Status> {
        let left = match &mut self.end {
            End::After(0) => return Ok(false),
            End::After(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            End::Never(live) => {
                // marked before the read, so that later entries wake the reader
                live.head.mark_unchanged();
                usize::MAX
            }
        };
        let Some(from) = self.next else { return Ok(false) };
        let count = left.min(PAGE);
        let found = match &self.source {
            Source::Stream(name) => {
                let name = name.clone();
                return self.fill_stream(&name, from, count);
            }
            Source::All { filter, checkpoint_interval } => {
                let until_report = checkpoint_interval.saturating_sub(self.unreported).max(1);
                let scan = if filter.is_some() { PAGE } else { count };
                let scan = scan.min(usize::try_from(until_report).unwrap_or(usize::MAX));
                let index = usize::try_from(from).unwrap_or(usize::MAX);
                let (mut found, next, end) = {
                    let store = self.node.store();
                    let (log, filter) = (store.log(), filter.as_ref());
                    let (found, next) =
                        log.read_all(self.forwards, index, scan, filter, self.resolve);
                    (found, next, log.len() as u64)
                };
                found.truncate(left);
                let moved = (next as u64).abs_diff(from.min(end));
                self.note_scanned(moved, next);
                if moved == 0 {
                    return Ok(false);
                }
                self.next = Some(next as u64);
                found
            }
        };
        self.enqueue(found);
        self.report();
        Ok(true)
    }

    fn fill_stream(&mut self, name: &str, from: u64, count: usize) -> Result<bool, Status> {
        if let End::Never(live) = &mut self.end {
            if live.buried {
                return Err(refusal::stream_deleted(name));
            }
            let buried = self.node.store().log().read_buried(name, from, count, self.resolve);
            if let Some(found) = buried.filter(|_| live.caught_up) {
                live.buried = found.iter().any(|one| one.revision == TOMBSTONE);
                self.next = found.last().map(|last| last.revision + 1);
                self.enqueue(found);
                return Ok(true);
            }
        }
        let live = matches!(self.end, End::Never(_));
        let (forwards, resolve) = (self.forwards, self.resolve);
        let page = self.node.store().log().read_stream(name, forwards, from, count, resolve);
        match page {
            StreamPage::Tombstoned => Err(refusal::stream_deleted(name)),
            StreamPage::Missing if live => Ok(false),
            StreamPage::Missing => {
                let missing = read_resp::StreamNotFound { stream: Some(name.into()) };
                self.queue.push_back(content(read_resp::Content::StreamNotFound(missing)));
                self.next = None;
                Ok(true)
            }
            StreamPage::Page { found, next, first, last } => {
                let more = !found.is_empty();
                self.next = match (live, found.last()) {
                    (true, Some(last)) => Some(last.revision + 1),
                    (true, None) => Some(from),
                    (false, _) => next,
                };
                if !live {
                    self.tell_first(from, count, first, last);
                }
                self.enqueue(found);
                if !live && (self.next.is_none() || matches!(self.end, End::After(0))) {
                    return Ok(self.tell_last(last));
                }
                Ok(more)
            }
        }
    }

    /// Tells the first number of a stream when a read begins where it has nothing.
    fn tell_first(&mut self, from: u64, count: usize, first: u64, last: u64) {
        if !std::mem::take(&mut self.is_new) || !self.forwards || !self.tells_ends {
            return;
        }
        let batch = BATCH.min(count as u64);
        let first = if from.saturating_add(batch) <= first { first } else { last + 1 };
        if from != first && (from.saturating_add(batch) <= first || from > last) {
            self.queue.push_back(content(read_resp::Content::FirstStreamPosition(first)));
        }
    }

    /// Tells the last number of a stream, and ends the read.
    fn tell_last(&mut self, last: u64) -> bool {
        self.next = None;
        if self.tells_ends {
            self.queue.push_back(content(read_resp::Content::LastStreamPosition(last)));
        }
        true
    }

    fn enqueue(&mut self, found: Vec<Found>) {
        if let End::After(left) = &mut self.end {
            *left = left.saturating_sub(found.len() as u64);
        }
        let text = self.text_ids;
        self.queue.extend(found.into_iter().map(|found| event(found, text)));
    }

    fn note_scanned(&mut self, moved: u64, next: usize) {
        let filtered = matches!(self.source, Source::All { filter: Some(_), .. });
        if filtered && matches!(self.end, End::Never(_)) && next > 0 {
            self.unreported += moved;
        }
    }

    /// Reports the position of a filtered subscription when a report is due.
    fn report(&mut self) {
        let Source::All { filter: Some(_), checkpoint_interval } = self.source else { return };
        let Some(at) = self.next.filter(|_| self.unreported >= checkpoint_interval) else { return };
        self.unreported = 0;
        let last = position(usize::try_from(at).unwrap_or(usize::MAX).saturating_sub(1));
        self.queue.push_back(checkpoint(last));
    }
}

fn checkpoint(at: u64) -> ReadResp {
    let checkpoint = read_resp::Checkpoint { commit: at, prepare: at, timestamp: Some(now()) };
    content(read_resp::Content::Checkpoint(checkpoint))
}

fn content(content: read_resp::Content) -> ReadResp {
    ReadResp { content: Some(content) }
}

fn event(found: Found, text: bool) -> ReadResp {
    // servers before 22.10 sent no position outside of `$all`
    let at = read_resp::event::Position::CommitPosition(position(found.index));
    let event = read_resp::Event {
        event: formed(found.event, text),
        link: formed(found.link, text),
        position: Some(at),
    };
    content(read_resp::Content::Event(event))
}

fn now() -> wire::Span {
    let ticks = now_ticks();
    wire::Span {
        seconds: i64::try_from(ticks / 10_000_000).unwrap_or_default(),
        nanos: i32::try_from(ticks % 10_000_000 * 100).unwrap_or_default(),
    }
}
