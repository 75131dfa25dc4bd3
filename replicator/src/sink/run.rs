//! Runs of a write: consecutive events that a sink writes with one call, and the streams that have
//! failed in the write.

use std::collections::BTreeSet;

use super::outcome::Outcome;
use crate::event::Envelope;

/// Consecutive events of one stream, for one append. Never empty.
pub(crate) type Run<'a> = &'a [Envelope];

/// Streams with an event that failed in this write. Their later events are not tried.
#[derive(Debug, Default)]
pub(crate) struct FailedStreams<'a>(BTreeSet<&'a str>);

impl<'a> FailedStreams<'a> {
    /// Returns true when no later event of the run's stream may be written.
    pub(crate) fn has(&self, run: Run<'_>) -> bool {
        self.0.contains(&*run[0].event.stream)
    }

    /// Notes the outcomes of a run.
    pub(crate) fn note(&mut self, run: Run<'a>, outcomes: &[Outcome]) {
        if !outcomes.iter().all(Outcome::is_done) {
            self.0.insert(&run[0].event.stream);
        }
    }
}
