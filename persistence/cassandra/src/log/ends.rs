//! The rule that an append follows the end of its stream.
//!
//! A process remembers the end of each stream that it appends to. An append is put under way only
//! when it begins right after that end, and moves the end at once, so that the next append of the
//! stream may follow it before it is stored. When an append fails, so do all that follow it, and
//! the process forgets the end of the stream; the next append reads it from the store.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::entry::{EncodedAppend, Stream};

/// The end of each stream that this process appends to, with the appends under way.
pub(crate) struct Ends(Mutex<State>);

impl Ends {
    /// Remembers at most `stream_cache_max` streams, and those with an append under way.
    pub(crate) fn new(stream_cache_max: usize) -> Self {
        Self(Mutex::new(State { ends: HashMap::new(), stream_cache_max }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Records the end of a stream in the store.
    pub(crate) fn learn(&self, stream: &Arc<str>, highest: u64) {
        self.lock().learn(stream, highest);
    }
}

/// The state of [`Ends`], under its lock.
pub(super) struct State {
    ends: HashMap<Arc<str>, End>,
    stream_cache_max: usize,
}

/// The end of one stream.
struct End {
    /// The parsed name, once an append was made here.
    stream: Option<Arc<Stream>>,
    highest: u64,
    under_way: usize,
}

/// The verdict on an append.
#[derive(Debug)]
pub(super) enum Place {
    /// The append follows the end of its stream and is under way from now on.
    Taken(Arc<Stream>),
    /// The end of the stream is not known, or it may have moved: read it from the store.
    Unknown,
    /// The append does not follow the end of the stream, which is this sequence nr.
    Elsewhere(u64),
    /// The name of the stream is not a persistence id.
    Unnamed,
}

impl State {
    pub(super) fn learn(&mut self, stream: &Arc<str>, highest: u64) {
        if self.ends.len() >= self.stream_cache_max && !self.ends.contains_key(stream) {
            self.ends.retain(|_, end| end.under_way > 0);
        }
        let new = End { stream: None, highest, under_way: 0 };
        let end = self.ends.entry(stream.clone()).or_insert(new);
        end.highest = end.highest.max(highest);
    }

    /// Puts an append under way when it follows the end of its stream. `is_fresh` when the end was
    /// just read from the store.
    pub(super) fn take(
        &mut self,
        stream: &Arc<str>,
        append: &EncodedAppend,
        is_fresh: bool,
    ) -> Place {
        assert!(append.first <= append.last, "an append to `{stream}` has no event");
        let end = match self.ends.get_mut(stream) {
            Some(end) if end.highest + 1 == append.first => end,
            Some(end) if is_fresh || end.under_way > 0 => return Place::Elsewhere(end.highest),
            Some(_) | None => return Place::Unknown,
        };
        let of = match &end.stream {
            Some(of) => of.clone(),
            None => match Stream::parse(stream.clone()) {
                Ok(of) => end.stream.insert(of).clone(),
                Err(_) => return Place::Unnamed,
            },
        };
        end.highest = append.last;
        end.under_way += 1;
        Place::Taken(of)
    }

    /// Records that an append was stored.
    ///
    /// # Panics
    /// When no append of the stream is under way: an append would be answered twice, or the end of
    /// the stream was forgotten while appends relied on it.
    pub(super) fn stored(&mut self, stream: &Arc<str>, last: u64) {
        let Some(end) = self.ends.get_mut(stream) else {
            panic!("the end of `{stream}` was forgotten while an append was under way")
        };
        assert!(
            end.under_way > 0,
            "`{stream}`: event {last} is stored, but no append is under way"
        );
        assert!(
            last <= end.highest,
            "`{stream}`: event {last} is stored, but its end is {}",
            end.highest
        );
        end.under_way -= 1;
    }

    /// Forgets the end of a stream of which an append failed.
    pub(super) fn failed(&mut self, stream: &Arc<str>) {
        self.ends.remove(stream);
    }
}
