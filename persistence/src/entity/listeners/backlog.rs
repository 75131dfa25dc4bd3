//! The appends that listeners have not taken yet: a pure core.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The answer to a listener.
#[derive(Debug)]
pub(in crate::entity) enum Next<T> {
    Item(Arc<T>),
    /// The listener has missed this many items.
    Missed(u64),
    /// The listener has taken everything.
    Nothing,
    /// The listener has taken everything, and nothing comes any more.
    Ended,
}

/// Items in order, from the oldest that a listener has not taken. The oldest are dropped beyond the
/// bounds. Nothing is kept when nobody listens.
#[derive(Debug)]
pub(super) struct Backlog<T> {
    items_max: usize,
    bytes_max: usize,
    /// The number of the first kept item.
    first: u64,
    /// Each with its bytes; `None`: an item that was not kept.
    items: VecDeque<(Option<Arc<T>>, usize)>,
    bytes: usize,
    /// The number of the next item of each listener.
    listeners: BTreeMap<u64, u64>,
    next_listener: u64,
    is_closed: bool,
}

impl<T> Backlog<T> {
    pub(super) fn new(items_max: usize, bytes_max: usize) -> Self {
        Self {
            items_max,
            bytes_max,
            first: 0,
            items: VecDeque::new(),
            bytes: 0,
            listeners: BTreeMap::new(),
            next_listener: 0,
            is_closed: false,
        }
    }

    /// The number of the item that is pushed next.
    fn end(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// A new listener, of the items from now on.
    pub(super) fn listen(&mut self) -> u64 {
        let number = self.next_listener;
        self.next_listener += 1;
        self.listeners.insert(number, self.end());
        number
    }

    pub(super) fn leave(&mut self, listener: u64) {
        self.listeners.remove(&listener);
        self.forget_taken();
    }

    /// Takes an item of this many bytes, or the place of one that was not kept.
    pub(super) fn push(&mut self, item: Option<Arc<T>>, bytes: usize) {
        if self.listeners.is_empty() || self.is_closed {
            return;
        }
        self.items.push_back((item, bytes));
        self.bytes += bytes;
        while self.items.len() > self.items_max || self.bytes > self.bytes_max {
            self.drop_first();
        }
        self.check();
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// The next item of a listener.
    ///
    /// # Panics
    /// When there is no such listener.
    pub(super) fn next(&mut self, listener: u64) -> Next<T> {
        let (first, end) = (self.first, self.end());
        let at = self.listeners.get_mut(&listener).expect("a listener");
        if *at < first {
            let missed = first - *at;
            *at = first;
            return Next::Missed(missed);
        }
        if *at == end {
            return if self.is_closed { Next::Ended } else { Next::Nothing };
        }
        let index = usize::try_from(*at - first).expect("within the kept ones");
        *at += 1;
        let item = self.items[index].0.clone();
        self.forget_taken();
        item.map_or(Next::Missed(1), Next::Item)
    }

    /// Drops the items that every listener has taken.
    fn forget_taken(&mut self) {
        let oldest = self.listeners.values().min().copied().unwrap_or_else(|| self.end());
        while self.first < oldest && !self.items.is_empty() {
            self.drop_first();
        }
        self.check();
    }

    fn drop_first(&mut self) {
        if let Some((_, bytes)) = self.items.pop_front() {
            self.bytes -= bytes;
            self.first += 1;
        }
    }

    /// Asserts the bounds. Counts the bytes in debug builds only, since there may be many items.
    fn check(&self) {
        assert!(self.items.len() <= self.items_max, "more items are kept than allowed");
        assert!(self.bytes <= self.bytes_max, "more bytes are kept than allowed");
        assert!(self.listeners.values().all(|at| *at <= self.end()), "a listener is ahead");
        if cfg!(debug_assertions) {
            assert_eq!(self.items.iter().map(|(_, bytes)| bytes).sum::<usize>(), self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that the listener gets now.
    fn taken(backlog: &mut Backlog<u32>, listener: u64) -> Vec<String> {
        let mut taken = Vec::new();
        loop {
            taken.push(match backlog.next(listener) {
                Next::Item(item) => item.to_string(),
                Next::Missed(count) => format!("missed {count}"),
                Next::Ended => "ended".to_owned(),
                Next::Nothing => return taken,
            });
            if taken.last().is_some_and(|last| last == "ended") {
                return taken;
            }
        }
    }

    #[test]
    fn each_listener_gets_each_item_once_and_items_that_all_have_are_let_go() {
        let mut backlog = Backlog::new(10, 1000);
        backlog.push(Some(Arc::new(0)), 1);
        assert!(backlog.items.is_empty(), "nobody listens");
        let (one, two) = (backlog.listen(), backlog.listen());
        let item = Arc::new(1);
        backlog.push(Some(item.clone()), 1);
        assert_eq!(taken(&mut backlog, one), ["1"]);
        assert_eq!(Arc::strong_count(&item), 2, "the other one has not taken it");
        assert_eq!(taken(&mut backlog, two), ["1"]);
        assert_eq!((Arc::strong_count(&item), backlog.bytes), (1, 0));
        backlog.push(Some(item.clone()), 1);
        backlog.leave(one);
        backlog.leave(two);
        assert_eq!(Arc::strong_count(&item), 1, "nobody listens any more");
    }

    #[test]
    fn the_oldest_items_are_missed_beyond_each_bound() {
        for (items_max, bytes_max) in [(2, 1000), (100, 20)] {
            let mut backlog = Backlog::new(items_max, bytes_max);
            let slow = backlog.listen();
            for number in 1..=5 {
                backlog.push(Some(Arc::new(number)), 10);
            }
            assert_eq!(taken(&mut backlog, slow), ["missed 3", "4", "5"]);
            backlog.push(Some(Arc::new(6)), 2000);
            let expected: &[&str] = if bytes_max < 2000 { &["missed 1"] } else { &["6"] };
            assert_eq!(taken(&mut backlog, slow), expected, "an item that is too large by itself");
        }
    }

    #[test]
    fn an_item_that_was_not_kept_is_missed_and_the_end_comes_after_the_last_item() {
        let mut backlog = Backlog::new(10, 1000);
        let listener = backlog.listen();
        backlog.push(None, 0);
        backlog.push(Some(Arc::new(2)), 1);
        backlog.close();
        backlog.push(Some(Arc::new(3)), 1);
        assert_eq!(taken(&mut backlog, listener), ["missed 1", "2", "ended"]);
        let late = backlog.listen();
        assert_eq!(taken(&mut backlog, late), ["ended"]);
    }
}
