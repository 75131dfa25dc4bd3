//! The faults of the application's code in a run, by place: it panics, or does not understand a
//! stored event or snapshot.

use std::sync::Arc;

use antiphon_persistence::identity::ReplicaId;
use parking_lot::Mutex;

/// The text of planned panics, so that other panics are found.
pub(crate) const PLANNED: &str = "planned panic";

/// Of this number of lines, one is in trouble.
const LINES: u64 = 5;

/// A place, and the lines that are in trouble there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Where {
    pub(crate) place: ReplicaId,
    pub(crate) lines: u64,
}

impl Where {
    fn has(&self, place: &ReplicaId, line: u64) -> bool {
        self.place == *place && line % LINES == self.lines % LINES
    }
}

#[derive(Debug, Default)]
struct State {
    on_event: Option<Where>,
    on_command: Option<Where>,
    unreadable: Option<Where>,
    /// The place whose snapshots have another version than everywhere else.
    snapshots: Option<ReplicaId>,
}

/// The faults of the application's code; the entities of all nodes read them.
#[derive(Debug, Clone, Default)]
pub(crate) struct UserFaults(Arc<Mutex<State>>);

impl UserFaults {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock())
    }

    pub(crate) fn panic_on_event(&self, at: Where) {
        self.with(|state| state.on_event = Some(at));
    }

    pub(crate) fn panic_on_command(&self, at: Where) {
        self.with(|state| state.on_command = Some(at));
    }

    pub(crate) fn do_not_understand(&self, at: Where) {
        self.with(|state| state.unreadable = Some(at));
    }

    pub(crate) fn other_snapshots(&self, place: ReplicaId) {
        self.with(|state| state.snapshots = Some(place));
    }

    /// Removes all faults, as a new release would.
    pub(crate) fn end(&self) {
        self.with(|state| *state = State::default());
    }

    pub(crate) fn event(&self, place: &ReplicaId, line: u64) {
        let panics =
            self.with(|state| state.on_event.as_ref().is_some_and(|at| at.has(place, line)));
        assert!(!panics, "{PLANNED}: `on_event` of line {line} at {place}");
    }

    pub(crate) fn command(&self, place: &ReplicaId, line: u64) {
        let panics =
            self.with(|state| state.on_command.as_ref().is_some_and(|at| at.has(place, line)));
        assert!(!panics, "{PLANNED}: `on_command` of line {line} at {place}");
    }

    pub(crate) fn is_unreadable(&self, place: &ReplicaId, line: u64) -> bool {
        self.with(|state| state.unreadable.as_ref().is_some_and(|at| at.has(place, line)))
    }

    pub(crate) fn snapshot_version(&self, place: &ReplicaId) -> u16 {
        if self.with(|state| state.snapshots.as_ref() == Some(place)) { 2 } else { 1 }
    }
}
