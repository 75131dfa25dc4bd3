//! The tasks of a node, which end with it.

use std::future::Future;

use antiphon_base::task;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

#[derive(Debug)]
struct State {
    tasks: Vec<JoinHandle<()>>,
    clean_at: usize,
    has_ended: bool,
}

/// The tasks of a node.
#[derive(Debug)]
pub(super) struct Tasks(Mutex<State>);

impl Tasks {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { tasks: Vec::new(), clean_at: 64, has_ended: false }))
    }

    pub(super) fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut state = self.0.lock();
        if state.has_ended {
            return;
        }
        if state.tasks.len() >= state.clean_at {
            state.tasks.retain(|task| !task.is_finished());
            state.clean_at = 64 + 2 * state.tasks.len();
        }
        state.tasks.push(task::spawn(name, future));
    }

    pub(super) fn end(&self) {
        let mut state = self.0.lock();
        state.has_ended = true;
        for task in state.tasks.drain(..) {
            task.abort();
        }
    }
}
