//! Choice of the events to write next.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::core::{Out, Phase, Pipeline, Write};
use super::queue::{Block, Item, StreamQueue};
use super::sink_state::SinkState;
use super::timers::Timer;
use super::{Effect, Followers, LaneOrder, Neighbours, Note, Now, Seq, WriteId};

impl Pipeline {
    pub(super) fn block(&mut self, key: &Arc<str>, block: Block, until: tokio::time::Instant) {
        self.streams.block(key, block, until);
        self.timers.set(until, Timer::Unblock(key.clone()));
    }

    pub(super) fn unblock_when_due(&mut self, now: Now, key: &Arc<str>, out: &mut Out) {
        let Some(queue) = self.streams.get(key) else { return };
        let Some((block, until)) = queue.blocked else { return };
        if until > now.at {
            return;
        }
        self.streams.unblock(key);
        if block == Block::Redelivery {
            self.drop_awaited(key, out);
        }
        self.streams.refresh(key);
    }

    /// Continues without an event that was handed back and did not come again: another consumer has
    /// it, or the source has parked it.
    fn drop_awaited(&mut self, key: &Arc<str>, out: &mut Out) {
        let Some(queue) = self.streams.get_mut(key) else { return };
        if queue.waiting.front().is_some_and(|item| item.awaited_until.is_some())
            && let Some(item) = queue.waiting.pop_front()
        {
            self.watermark.done(item.seq);
            out.note(Note::NotRedelivered(key.clone(), item.envelope.event.revision));
        }
    }

    /// Starts every write that can start now.
    pub(super) fn schedule(&mut self, now: Now, out: &mut Out) {
        if self.phase == Phase::Ended {
            return;
        }
        for lane in 0..self.streams.lanes.len() {
            while self.lane_may_write(now, lane) {
                let Some((_, key)) = self.streams.lanes[lane].ready.first_key_value() else {
                    break;
                };
                let key = key.clone();
                if self.set_aside(now, &key, out) {
                    continue;
                }
                self.start_write(lane, out);
            }
        }
    }

    fn lane_may_write(&self, now: Now, lane: usize) -> bool {
        let lane = &self.streams.lanes[lane];
        let is_sink_up = match self.sink {
            SinkState::Up => true,
            // a single write finds out if the sink is back
            SinkState::Down { until, .. } => until <= now.at && self.writes.is_empty(),
        };
        let is_throttle_over = self.settings.throttle.is_zero()
            || (self.writes.is_empty() && self.quiet_until.is_none_or(|until| until <= now.at));
        let must_wait = self.settings.neighbours == Neighbours::Wait && lane.blocked > 0;
        is_sink_up && is_throttle_over && !must_wait && lane.writes < self.settings.lane_writes()
    }

    /// Returns true when the first event of a ready stream must not be written: it was handed back,
    /// or follows a parked event.
    fn set_aside(&mut self, now: Now, key: &Arc<str>, out: &mut Out) -> bool {
        let queue = self.streams.get_mut(key).expect("a ready stream is kept");
        let first = queue.waiting.front().expect("a ready stream has a waiting event");
        if let Some(until) = first.awaited_until {
            if until > now.at {
                self.block(key, Block::Redelivery, until);
            } else {
                self.drop_awaited(key, out);
                self.streams.refresh(key);
            }
            return true;
        }
        let event = &first.envelope.event;
        let parked = self.broken.before(&event.stream, event.revision);
        let Some(parked) = parked.filter(|_| self.settings.followers == Followers::Park) else {
            return false;
        };
        if let Some(item) = queue.waiting.pop_front() {
            self.park(now, item, format!("event #{parked} of the stream is parked"), out);
        }
        self.streams.refresh(key);
        true
    }

    fn start_write(&mut self, lane: usize, out: &mut Out) {
        let write = WriteId(self.next_write);
        self.next_write += 1;
        let mut items: Vec<Item> = Vec::new();
        let mut bytes = 0;
        let mut keys = BTreeSet::new();
        while let Some((_, key)) = self.streams.lanes[lane].ready.pop_first() {
            let limit = match self.settings.lane_order {
                LaneOrder::Arrival => self.streams.lanes[lane].ready.keys().next().copied(),
                LaneOrder::PerStream => None,
            };
            let is_taken = self.take_batch(&key, write, limit, &mut items, &mut bytes);
            keys.insert(key);
            if !is_taken || !self.settings.mixes_streams || self.is_full(items.len(), bytes) {
                break;
            }
            let next = self.streams.lanes[lane].ready.first_key_value();
            if next.is_some_and(|(_, key)| self.needs_a_look(key)) {
                break;
            }
        }
        keys.iter().for_each(|key| self.streams.refresh(key));
        let batch = items.iter().map(|item| item.envelope.clone()).collect();
        self.streams.lanes[lane].writes += 1;
        self.writes.insert(write, Write { lane, items });
        out.effects.push(Effect::Write { write, lane, batch });
    }

    /// Returns true when [`set_aside`](Self::set_aside) must see the stream before it is written.
    fn needs_a_look(&self, key: &Arc<str>) -> bool {
        let first = self.streams.get(key).and_then(|queue| queue.waiting.front());
        first.is_some_and(|first| {
            first.awaited_until.is_some()
                || self
                    .broken
                    .before(&first.envelope.event.stream, first.envelope.event.revision)
                    .is_some()
        })
    }

    fn is_full(&self, count: usize, bytes: usize) -> bool {
        count >= self.settings.batch_count() || bytes >= self.settings.batch_bytes_max
    }

    /// Moves events of a ready stream into a write; at least one if the write is empty. The stream
    /// is already removed from the ready list.
    fn take_batch(
        &mut self,
        key: &Arc<str>,
        write: WriteId,
        limit: Option<Seq>,
        items: &mut Vec<Item>,
        bytes: &mut usize,
    ) -> bool {
        let (count_max, bytes_max) = (self.settings.batch_count(), self.settings.batch_bytes_max);
        let queue = self.streams.get_mut(key).expect("a ready stream is kept");
        let is_free = queue.writing.is_none_or(|other| other == write);
        assert!(is_free, "`{key}` has two writes at once");
        queue.ready = None;
        let before = items.len();
        while let Some(first) = queue.waiting.front() {
            let size = first.envelope.event.size();
            let is_over = !items.is_empty()
                && (items.len() >= count_max
                    || *bytes + size > bytes_max
                    || (items.len() > before && limit.is_some_and(|limit| first.seq > limit)));
            if is_over || first.awaited_until.is_some() {
                break;
            }
            *bytes += size;
            let event = &first.envelope.event;
            let before = items.last().map(|item| &item.envelope.event);
            assert!(
                before
                    .is_none_or(|one| one.stream != event.stream || one.revision < event.revision),
                "event #{} of `{key}` is written behind a later one",
                event.revision
            );
            items.extend(queue.waiting.pop_front());
        }
        let is_taken = items.len() > before;
        if is_taken {
            queue.writing = Some(write);
        }
        // while the write is filled the stream may add more to it in its turn; the caller refreshes
        queue.ready = queue.waiting.front().map(|first| first.seq);
        if let (Some(seq), lane) = (queue.ready, queue.lane) {
            self.streams.lanes[lane].ready.insert(seq, key.clone());
        }
        is_taken
    }

    fn can_give_up(&self, now: Now, queue: &StreamQueue) -> bool {
        queue.waiting.front().is_some_and(|first| {
            let since = first.failed_since;
            first.awaited_until.is_some()
                || since.is_some_and(|since| since + self.settings.blocked_wait_max <= now.at)
        })
    }

    /// Gives up the streams that hold the most events, as long as too many events wait behind
    /// failing ones.
    pub(super) fn give_up_excess(&mut self, now: Now, out: &mut Out) {
        while self.streams.blocked_count() > self.settings.blocked_count_max && self.sink.is_up() {
            let failing = self.streams.blocked().filter(|(_, queue)| self.can_give_up(now, queue));
            let most = failing.max_by_key(|(_, queue)| queue.waiting.len());
            let Some((key, _)) = most else { return };
            let key = key.clone();
            let count = self.streams.blocked_count();
            self.streams.unblock(&key);
            let queue = self.streams.get_mut(&key).expect("a blocked stream is kept");
            let first = queue.waiting.front().expect("a blocked stream has a waiting event");
            if first.awaited_until.is_some() {
                self.drop_awaited(&key, out);
            } else if let Some(item) = queue.waiting.pop_front() {
                let seconds = item.failed_since.map_or(0, |since| (now.at - since).as_secs());
                let reason = format!(
                    "it fails for {seconds} s, and {count} events wait behind failing ones (at most {} may)",
                    self.settings.blocked_count_max
                );
                self.park(now, item, reason, out);
            }
            self.streams.refresh(&key);
        }
    }
}
