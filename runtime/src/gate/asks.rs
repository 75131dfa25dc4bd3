//! The asks to one peer that wait for an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::AskError;

type Answer = Result<Bytes, AskError>;

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    senders: BTreeMap<u64, oneshot::Sender<Answer>>,
}

/// The asks to one peer that wait for an answer; at most `asks_max`.
#[derive(Debug)]
pub(super) struct Asks {
    waiting: Mutex<Waiting>,
    asks_max: usize,
}

/// Gives the ask up when it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    asks: Arc<Asks>,
    pub(super) correlation: u64,
    pub(super) answer: oneshot::Receiver<Answer>,
}

impl Asks {
    pub(super) fn new(asks_max: usize) -> Self {
        Self { waiting: Mutex::default(), asks_max }
    }

    pub(super) fn register(self: &Arc<Self>) -> Result<Ticket, AskError> {
        let mut waiting = self.lock();
        if waiting.senders.len() >= self.asks_max {
            return Err(AskError::Overloaded(format!("`asks_max` {}", self.asks_max)));
        }
        waiting.next += 1;
        let correlation = waiting.next;
        let (sender, answer) = oneshot::channel();
        waiting.senders.insert(correlation, sender);
        drop(waiting);
        Ok(Ticket { asks: self.clone(), correlation, answer })
    }

    /// Ends an ask. Returns false when its asker does not wait any more.
    pub(super) fn finish(&self, correlation: u64, answer: Answer) -> bool {
        let sender = self.lock().senders.remove(&correlation);
        sender.is_some_and(|sender| sender.send(answer).is_ok())
    }

    /// Fails all asks except the asks in `unsent`. Returns their number.
    pub(super) fn fail_except(&self, unsent: &[u64], error: &AskError) -> usize {
        let unsent: BTreeSet<u64> = unsent.iter().copied().collect();
        let mut waiting = self.lock();
        let all = std::mem::take(&mut waiting.senders);
        let (kept, lost): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(correlation, _)| unsent.contains(correlation));
        waiting.senders = kept;
        drop(waiting);
        let count = lost.len();
        for sender in lost.into_values() {
            let _ = sender.send(Err(error.clone()));
        }
        count
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.asks.lock().senders.remove(&self.correlation);
    }
}
