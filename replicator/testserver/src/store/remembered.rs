//! The ids by which a repeated append with any revision is recognised.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use super::entry::StreamId;

/// The last occurrence of each id, at most `count_max` of them. The oldest are forgotten.
pub(super) struct RememberedIds {
    by_id: HashMap<Uuid, (StreamId, u64)>,
    order: VecDeque<Uuid>,
    count_max: usize,
}

impl RememberedIds {
    pub(super) fn new(count_max: usize) -> Self {
        Self { by_id: HashMap::new(), order: VecDeque::new(), count_max }
    }

    pub(super) fn get(&self, id: &Uuid) -> Option<(StreamId, u64)> {
        self.by_id.get(id).copied()
    }

    pub(super) fn insert(&mut self, id: Uuid, stream: StreamId, revision: u64) {
        self.by_id.insert(id, (stream, revision));
        self.order.push_back(id);
        if self.order.len() > self.count_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }
}
