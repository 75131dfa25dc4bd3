//! State of the store for `/health/ready`: lanes that wait for the database, lost data, and writers
//! that stopped because of a fault in their own state. The log gets a line when a lane begins to
//! wait, and one when its appends go on.

use parking_lot::{Mutex, MutexGuard};

#[derive(Default)]
struct State {
    /// Each lane that waits, with its last error.
    waiting: std::collections::BTreeMap<String, String>,
    lost: Option<String>,
}

/// Health of the appends: the lanes that wait, and the first loss of data.
#[derive(Default)]
pub(crate) struct Health(Mutex<State>);

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Records that a round of a lane failed and is tried again.
    pub(crate) fn waits(&self, lane: &str, error: &str) {
        let before = self.state().waiting.insert(lane.to_owned(), error.to_owned());
        if before.is_none() {
            tracing::warn!(lane, error, "appends wait for the database");
        }
    }

    /// Records that a lane got an answer or has ended.
    pub(crate) fn goes_on(&self, lane: &str) {
        if self.state().waiting.remove(lane).is_some() {
            tracing::info!(lane, "appends go on");
        }
    }

    /// Records that the store has less than was acknowledged, or that a writer cannot trust its own
    /// state. The first record is kept.
    pub(crate) fn lost(&self, what: &str) {
        self.state().lost.get_or_insert_with(|| what.to_owned());
    }

    /// Describes the lost data, else the error of a waiting lane. `None` when all is well.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = self.state();
        let waiting = state.waiting.values().next();
        let waiting = waiting.map(|error| format!("appends wait for the database: {error}"));
        state.lost.clone().or(waiting)
    }
}
