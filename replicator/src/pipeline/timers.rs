//! Times at which the pipeline looks at its state.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::Seq;

/// Reason to look at the state at a given time. The state, not the timer, says if anything is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Unblock(Arc<str>),
    Renew(Arc<str>, Seq),
    ParkAgain(Seq),
    Reopen,
    Sink,
    Checkpoint,
    Throttle,
}

#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the next timer whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        self.next().filter(|at| *at <= now)?;
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
