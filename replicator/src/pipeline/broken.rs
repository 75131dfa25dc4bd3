//! Streams with a parked event. Their later events are parked too, without each of them waiting for
//! its own limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct BrokenStreams {
    by_stream: BTreeMap<Arc<str>, (u64, Instant)>,
    by_time: BTreeSet<(Instant, Arc<str>)>,
}

impl BrokenStreams {
    /// Records that event `revision` is parked. Keeps the earlier entry if the stream has one.
    pub(super) fn insert(
        &mut self,
        stream: Arc<str>,
        revision: u64,
        until: Instant,
        count_max: usize,
    ) {
        if self.by_stream.contains_key(&stream) {
            return;
        }
        self.by_stream.insert(stream.clone(), (revision, until));
        self.by_time.insert((until, stream));
        if self.by_stream.len() > count_max
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.by_stream.remove(&oldest);
        }
    }

    /// The parked event before `revision` in this stream, if there is one.
    pub(super) fn before(&self, stream: &str, revision: u64) -> Option<u64> {
        self.by_stream.get(stream).map(|(parked, _)| *parked).filter(|parked| *parked < revision)
    }

    pub(super) fn forget(&mut self, stream: &str, written: u64) {
        if let Some((parked, until)) = self.by_stream.get(stream)
            && written >= *parked
        {
            let until = *until;
            if let Some((stream, _)) = self.by_stream.remove_entry(stream) {
                self.by_time.remove(&(until, stream));
            }
        }
    }

    /// Forgets entries that have expired: the next event of such a stream is tried again.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((until, _)) = self.by_time.first()
            && *until <= now
        {
            if let Some((_, stream)) = self.by_time.pop_first() {
                self.by_stream.remove(&stream);
            }
        }
    }
}
