//! The streams that hold events, their lanes, and the streams that are blocked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::Seq;
use super::queue::{Block, Item, StreamQueue, lane_of};

/// Streams of one lane that can be written now, ordered by the arrival of their first waiting
/// event.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) ready: BTreeMap<Seq, Arc<str>>,
    pub(super) writes: usize,
    /// Number of streams that wait for the next try of their first event. Streams that wait for a
    /// redelivery are not counted: it may take long.
    pub(super) blocked: usize,
}

/// All streams that hold events.
#[derive(Debug)]
pub(super) struct Streams {
    queues: BTreeMap<Arc<str>, StreamQueue>,
    pub(super) lanes: Vec<Lane>,
    /// Streams that are blocked. The one with the most waiting events is searched here.
    blocked: BTreeSet<Arc<str>>,
    /// Number of events that wait in blocked streams.
    blocked_count: usize,
}

impl Streams {
    pub(super) fn new(lane_count: usize) -> Self {
        let lanes = (0..lane_count).map(|_| Lane::default()).collect();
        Self { queues: BTreeMap::new(), lanes, blocked: BTreeSet::new(), blocked_count: 0 }
    }

    pub(super) fn get(&self, key: &str) -> Option<&StreamQueue> {
        self.queues.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut StreamQueue> {
        self.queues.get_mut(key)
    }

    pub(super) fn keys(&self) -> Vec<Arc<str>> {
        self.queues.keys().cloned().collect()
    }

    pub(super) fn blocked_count(&self) -> usize {
        self.blocked_count
    }

    pub(super) fn blocked(&self) -> impl Iterator<Item = (&Arc<str>, &StreamQueue)> {
        self.blocked.iter().filter_map(|key| self.queues.get_key_value(key))
    }

    pub(super) fn has_ready(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.ready.is_empty())
    }

    /// Inserts an event at its place. A stream whose first event changes is no longer blocked: the
    /// failing event perhaps waits for the new one.
    pub(super) fn insert(&mut self, key: &Arc<str>, item: Item) {
        let lane = lane_of(key, self.lanes.len());
        let queue = self.queues.entry(key.clone()).or_insert_with(|| StreamQueue::in_lane(lane));
        let place = queue.place_of(&item.envelope);
        queue.waiting.insert(place, item);
        self.blocked_count += usize::from(queue.blocked.is_some());
        if place == 0 {
            self.unblock(key);
            self.refresh(key);
        }
    }

    /// Updates a stream's entry in the ready list of its lane. Removes the stream when none of its
    /// events is left.
    pub(super) fn refresh(&mut self, key: &Arc<str>) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        let lane = &mut self.lanes[queue.lane];
        if let Some(seq) = queue.ready.take() {
            lane.ready.remove(&seq);
        }
        let first = queue.waiting.front().map(|item| item.seq);
        match (queue.writing, first) {
            (Some(_), _) => {}
            (None, Some(first)) => {
                if queue.blocked.is_none() {
                    lane.ready.insert(first, key.clone());
                    queue.ready = Some(first);
                }
            }
            (None, None) => {
                self.unblock(key);
                self.queues.remove(key);
            }
        }
    }

    pub(super) fn block(&mut self, key: &Arc<str>, block: Block, until: Instant) {
        self.unblock(key);
        let Some(queue) = self.queues.get_mut(key) else { return };
        queue.blocked = Some((block, until));
        self.blocked_count += queue.waiting.len();
        self.lanes[queue.lane].blocked += usize::from(block == Block::Retry);
        self.blocked.insert(key.clone());
        self.refresh(key);
    }

    /// Ends the block of a stream. The caller refreshes the stream.
    pub(super) fn unblock(&mut self, key: &Arc<str>) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        if let Some((block, _)) = queue.blocked.take() {
            self.blocked_count -= queue.waiting.len();
            self.lanes[queue.lane].blocked -= usize::from(block == Block::Retry);
            self.blocked.remove(key);
        }
    }

    /// Asserts the invariants of all streams. Returns the number of waiting events.
    pub(super) fn check(&self) -> usize {
        let (mut waiting, mut blocked) = (0, 0);
        for (key, queue) in &self.queues {
            waiting += queue.waiting.len();
            assert!(
                queue.writing.is_some() || !queue.waiting.is_empty(),
                "`{key}` is kept though nothing of it is left"
            );
            let can_go = queue.writing.is_none() && queue.blocked.is_none();
            assert_eq!(queue.ready.is_some(), can_go, "`{key}` is ready when it can go");
            assert_eq!(queue.blocked.is_some(), self.blocked.contains(key), "`{key}` is blocked");
            if queue.blocked.is_some() {
                blocked += queue.waiting.len();
            }
            let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
            for event in queue.waiting.iter().map(|item| &item.envelope.event) {
                let before = newest.insert(&event.stream, event.revision);
                assert!(
                    before.is_none_or(|before| before < event.revision),
                    "`{key}` waits out of order: {before:?} before #{}",
                    event.revision
                );
            }
        }
        assert_eq!(blocked, self.blocked_count, "events that wait in blocked streams");
        waiting
    }
}
