//! Chooses the statements that the server traces. The driver gives no tracing id with an error, so
//! the statement after a failed one is traced: in most cases it is the same statement, sent again.

use std::borrow::Cow;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use parking_lot::Mutex;
use scylla::response::query_result::QueryResult;
use scylla::statement::prepared::PreparedStatement;
use tokio::time::Instant;

use super::statements::Named;

/// At most one trace in `interval`: a trace costs some twenty writes, at a server that may fail
/// because it is overloaded.
pub(super) struct Traces {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Name of the statement that failed.
    failed: Option<&'static str>,
    traced_at: Option<Instant>,
}

impl Traces {
    /// Traces at most once in `interval`; zero turns tracing off.
    pub(super) fn every(interval: Duration) -> Self {
        Self { interval, state: Mutex::default() }
    }

    /// Records that a statement failed.
    pub(super) fn failed(&self, name: &'static str) {
        if !self.interval.is_zero() {
            self.state.lock().failed = Some(name);
        }
    }

    /// The statement to send, with tracing on when a trace is due.
    pub(super) fn next<'a>(&self, of: &'a Named) -> Cow<'a, PreparedStatement> {
        let mut statement = Cow::Borrowed(&of.prepared);
        if self.is_due(of.name, SystemClock.now()) {
            statement.to_mut().set_tracing(true);
        }
        statement
    }

    fn is_due(&self, name: &'static str, now: Instant) -> bool {
        let mut state = self.state.lock();
        let rested = |at: Instant| now.duration_since(at) >= self.interval;
        let due = state.failed == Some(name) && state.traced_at.is_none_or(rested);
        if due {
            *state = State { failed: None, traced_at: Some(now) };
        }
        due
    }
}

/// Logs the tracing id of an answer, if it has one.
pub(super) fn tell(name: &str, answer: &QueryResult) {
    if let Some(tracing_id) = answer.tracing_id() {
        tracing::warn!(
            statement = name,
            %tracing_id,
            "one failed before: the server has a trace of this one, in system_traces.events by session_id"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_after_one_that_failed_is_traced_at_most_once_in_a_while() {
        let traces = Traces::every(Duration::from_secs(10));
        let start = SystemClock.now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!traces.is_due("part", at(0)), "none failed");
        traces.failed("part");
        assert!(!traces.is_due("rounds", at(0)), "another one failed");
        assert!(traces.is_due("part", at(1)));
        assert!(!traces.is_due("part", at(1)), "it is traced");
        traces.failed("part");
        assert!(!traces.is_due("part", at(10)), "too soon");
        assert!(traces.is_due("part", at(11)));

        let never = Traces::every(Duration::ZERO);
        never.failed("part");
        assert!(!never.is_due("part", at(0)));
    }
}
