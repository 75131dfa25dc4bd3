//! The tasks of the futures that an entity has under way. Dropping them drops each future where it
//! waits next; its command does not arrive any more.

use std::collections::BTreeMap;

use tokio::task::JoinHandle;

use super::EventSourced;
use super::engine::{Generation, Input};

/// The tasks of the futures of one entity.
#[derive(Debug, Default)]
pub(super) struct Futures {
    /// The future that holds up commands, with its generation.
    holding: Option<(Generation, JoinHandle<()>)>,
    /// The futures beside the commands.
    beside: BTreeMap<(Generation, u64), JoinHandle<()>>,
}

impl Futures {
    /// Keeps the task of the future that holds up commands; an earlier one is dropped.
    pub(super) fn hold_up(&mut self, generation: Generation, task: JoinHandle<()>) {
        if let Some((_, before)) = self.holding.replace((generation, task)) {
            before.abort();
        }
    }

    /// Keeps the task of a future beside the commands.
    pub(super) fn beside(&mut self, generation: Generation, number: u64, task: JoinHandle<()>) {
        self.beside.insert((generation, number), task);
    }

    /// Forgets the future that has ended with this input, if it is the end of one. Returns whether
    /// no future is under way any more.
    pub(super) fn ended<E: EventSourced>(&mut self, input: &Input<E>) -> bool {
        if let Input::BesideDone(generation, number, _) = input {
            self.beside.remove(&(*generation, *number));
        }
        if let Input::AsynchronousDone(generation, _) = input {
            self.holding.take_if(|(of, _)| of == generation);
        }
        self.holding.is_none() && self.beside.is_empty()
    }
}

impl Drop for Futures {
    fn drop(&mut self) {
        let beside = std::mem::take(&mut self.beside).into_values();
        let holding = self.holding.take().map(|(_, task)| task);
        beside.chain(holding).for_each(|task| task.abort());
    }
}
