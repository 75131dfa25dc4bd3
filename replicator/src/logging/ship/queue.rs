//! The lines that wait to be sent: bounded by number and by bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The bounds of a queue and of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) queue_count_max: usize,
    pub(super) queue_bytes_max: usize,
    pub(super) batch_count_max: usize,
    pub(super) batch_bytes_max: usize,
    pub(super) line_bytes_max: usize,
}

/// The lines of one sink, counted.
#[derive(Debug, Default)]
pub struct Counts {
    sent: AtomicU64,
    lost: AtomicU64,
    waiting: AtomicU64,
}

impl Counts {
    /// Lines that the server took.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Lines that never reached the server.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Lines that wait, those in a request included.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn add_sent(&self, count: usize) {
        self.sent.fetch_add(wide(count), Ordering::Relaxed);
        self.waiting.fetch_sub(wide(count), Ordering::Relaxed);
    }

    pub(super) fn add_lost(&self, count: usize) {
        self.lost.fetch_add(wide(count), Ordering::Relaxed);
        self.waiting.fetch_sub(wide(count), Ordering::Relaxed);
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The lines that wait to be sent. Adding never waits: a line without room is lost.
pub(super) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    /// Notified when a batch is full, and at the end.
    pub(super) wake: Notify,
    pub(super) counts: Arc<Counts>,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        let (state, wake, counts) = (Mutex::default(), Notify::new(), Arc::default());
        Self { limits, state, wake, counts }
    }

    /// Adds a line.
    pub(super) fn push(&self, line: Vec<u8>) {
        let limits = &self.limits;
        let mut state = self.state.lock();
        let fits = !state.is_closed
            && state.lines.len() < limits.queue_count_max
            && state.bytes + line.len() <= limits.queue_bytes_max;
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if !fits {
            return self.counts.add_lost(1);
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        let is_full =
            state.lines.len() >= limits.batch_count_max || state.bytes >= limits.batch_bytes_max;
        drop(state);
        if is_full {
            self.wake.notify_one();
        }
    }

    /// Takes the next batch; none when no line waits.
    pub(super) fn take(&self) -> Option<Vec<Vec<u8>>> {
        let mut state = self.state.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(line) = state.lines.front() {
            let is_full = batch.len() >= self.limits.batch_count_max
                || bytes + line.len() + 1 > self.limits.batch_bytes_max;
            if is_full && !batch.is_empty() {
                break;
            }
            bytes += line.len() + 1;
            state.bytes -= line.len();
            batch.extend(state.lines.pop_front());
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Takes no more lines, and wakes the task that sends.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.wake.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Counts all lines that still wait as lost.
    pub(super) fn give_up(&self) {
        *self.state.lock() = State { is_closed: true, ..State::default() };
        let waiting = usize::try_from(self.counts.waiting()).unwrap_or(usize::MAX);
        self.counts.add_lost(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue::new(Limits {
            queue_count_max: 4,
            queue_bytes_max: 20,
            batch_count_max: 3,
            batch_bytes_max: 12,
            line_bytes_max: 100,
        })
    }

    fn count(queue: &Queue) -> (u64, u64) {
        (queue.counts.waiting(), queue.counts.lost())
    }

    #[test]
    fn a_line_without_room_is_lost_and_counted() {
        let many = queue();
        (0..6).for_each(|_| many.push(vec![0; 2]));
        assert_eq!(count(&many), (4, 2));
        let large = queue();
        (0..3).for_each(|_| large.push(vec![0; 9]));
        assert_eq!(count(&large), (2, 1));
        large.close();
        large.take().unwrap();
        large.push(vec![0]);
        assert_eq!(count(&large), (2, 2));
        large.give_up();
        assert_eq!(count(&large), (0, 4));
    }

    #[test]
    fn a_batch_is_bounded_by_number_and_by_bytes_and_has_one_line_at_least() {
        let queue = queue();
        for size in [2, 2, 2, 2] {
            queue.push(vec![0; size]);
        }
        let sizes = || queue.take().map(|batch| batch.len());
        assert_eq!([sizes(), sizes(), sizes()], [Some(3), Some(1), None]);
        for size in [7, 7] {
            queue.push(vec![0; size]);
        }
        assert_eq!([sizes(), sizes(), sizes()], [Some(1), Some(1), None]);
        queue.push(vec![0; 15]);
        assert_eq!([sizes(), sizes()], [Some(1), None]);
    }
}
