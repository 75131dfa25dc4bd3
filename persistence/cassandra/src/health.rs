//! What the store waits for, if it waits: for `/health/ready`, and for the log once at the beginning and once at the end.

use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct State {
    /// Each lane that waits, with the last error.
    waiting: std::collections::BTreeMap<String, String>,
    lost: Option<String>,
}

/// Whether appends go through.
#[derive(Default)]
pub(crate) struct Health(Mutex<State>);

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A round of a lane failed and is tried again.
    pub(crate) fn waits(&self, lane: &str, error: &str) {
        let before = self.state().waiting.insert(lane.to_owned(), error.to_owned());
        if before.is_none() {
            tracing::warn!(lane, error, "appends wait for the database");
        }
    }

    /// A lane got an answer, or has ended.
    pub(crate) fn goes_on(&self, lane: &str) {
        if self.state().waiting.remove(lane).is_some() {
            tracing::info!(lane, "appends go on");
        }
    }

    /// The store has less than was acknowledged.
    pub(crate) fn lost(&self, what: &str) {
        self.state().lost.get_or_insert_with(|| what.to_owned());
    }

    /// What is wrong, if something is.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = self.state();
        let waiting = state.waiting.values().next();
        let waiting = waiting.map(|error| format!("appends wait for the database: {error}"));
        state.lost.clone().or(waiting)
    }
}
