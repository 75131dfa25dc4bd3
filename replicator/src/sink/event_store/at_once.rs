//! Several appends in flight at once. A batch of mixed streams costs about one round trip instead
//! of one for each change of stream.
//!
//! The appends of a batch are sent in the order of arrival, over one stream of requests. The server
//! executes them in that order. Each append expects its exact number, so the server refuses every
//! append that follows a failed one of its stream: no event can overtake another of its stream,
//! whatever fails in between. Answers are read in the same order. A refused append is then tried
//! alone, which finds the events that are there. The events behind a failure of their stream are
//! reported as untried even if they were written: the next try finds them.
//!
//! The first event of a stream is preceded by a look for a deletion of the stream, because a
//! deleted stream takes the append and writes the events again behind its last one.
//!
//! Across streams the order of arrival holds as long as no append is refused.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_eventstore as es;
use futures::future::{BoxFuture, maybe_done};
use futures::{StreamExt, poll, stream};

use parking_lot::Mutex;

use super::append::{ExactAppends, expected_revision};
use super::client::{failure, new_event};
use crate::sink::Outcome;
use crate::sink::run::Run;
use crate::source::message;

/// Largest number of appends in flight.
pub(super) const IN_FLIGHT_MAX: usize = 64;
/// Largest number of streams whose refused appends are tried again at the same time.
const LOOKS_MAX: usize = 16;

/// Outcomes of the first try; none when the append must be tried alone.
type Answer = Option<Vec<Outcome>>;
/// The outcomes of runs, with their places in the batch.
type Found = Vec<(usize, Vec<Outcome>)>;

/// Appends that do not wait for each other.
pub(super) struct AppendsAtOnce {
    client: es::EventStoreClient,
    exact: ExactAppends,
    /// Appenders that are idle: as many as there were simultaneous writes.
    appenders: Mutex<Vec<es::Appender>>,
    /// True when the server is too old for appenders.
    appends_alone: AtomicBool,
}

impl AppendsAtOnce {
    pub(super) fn new(client: es::EventStoreClient, exact: ExactAppends) -> Self {
        Self { client, exact, appenders: Mutex::default(), appends_alone: AtomicBool::new(false) }
    }

    /// An appender for exclusive use; none when the server does not support them.
    async fn appender(&self) -> es::Result<Option<es::Appender>> {
        if self.appends_alone.load(Ordering::Relaxed) {
            return Ok(None);
        }
        // an appender that failed while idle is useless
        let kept = std::iter::from_fn(|| self.appenders.lock().pop());
        if let Some(kept) = { kept }.find(|one| !one.has_failed()) {
            return Ok(Some(kept));
        }
        match self.client.appender(IN_FLIGHT_MAX).await {
            Ok(appender) => Ok(Some(appender)),
            Err(failed) if failed.kind() == es::ErrorKind::Rejected => {
                let reason = message(&failed);
                tracing::warn!(reason, "appends to the destination wait for each other");
                self.appends_alone.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(failed) => Err(failed),
        }
    }

    /// Appends plain runs, at most [`IN_FLIGHT_MAX`], and returns the outcomes of each. None when
    /// the server is too old for it. A cancelled call may have written some.
    pub(super) async fn append(&self, runs: &[Run<'_>]) -> Option<Vec<Vec<Outcome>>> {
        let answers = match self.appender().await {
            Ok(Some(appender)) => self.ask(appender, runs).await,
            Ok(None) => return None,
            Err(failed) => runs.iter().map(|run| Some(all_failed(&failed, run))).collect(),
        };
        assert_eq!(answers.len(), runs.len(), "each append has an answer");
        // when the server is unreachable, one failed call is enough
        let is_away = AtomicBool::new(answers.iter().flatten().flatten().any(says_away));
        let mut streams: BTreeMap<&str, Vec<(usize, Run<'_>, Answer)>> = BTreeMap::new();
        for (index, (run, answer)) in runs.iter().zip(answers).enumerate() {
            streams.entry(&run[0].event.stream).or_default().push((index, run, answer));
        }
        let mut looks: Vec<BoxFuture<'_, Found>> = Vec::new();
        for of_stream in streams.into_values() {
            looks.push(Box::pin(self.look_into(of_stream, &is_away)));
        }
        let found: Vec<_> = stream::iter(looks).buffer_unordered(LOOKS_MAX).collect().await;
        let mut found: Found = found.into_iter().flatten().collect();
        found.sort_by_key(|(index, _)| *index);
        Some(found.into_iter().map(|(_, outcomes)| outcomes).collect())
    }

    /// Sends all appends before it waits for an answer, except those of events that the destination
    /// has and hides.
    async fn ask(&self, appender: es::Appender, runs: &[Run<'_>]) -> Vec<Answer> {
        let looks = runs.iter().map(|run| self.exact.hidden_at_first(run));
        let looks: Vec<BoxFuture<'_, _>> =
            looks.map(|look| -> BoxFuture<'_, _> { Box::pin(look) }).collect();
        let hidden: Vec<_> = stream::iter(looks).buffered(LOOKS_MAX).collect().await;
        let mut asked = Vec::with_capacity(runs.len());
        for (run, hidden) in runs.iter().zip(hidden) {
            if hidden != Ok(0) {
                asked.push(Err(hidden.err()));
                continue;
            }
            let first = &run[0].event;
            let events = run.iter().map(|envelope| new_event(&envelope.event)).collect();
            let append = appender.append(&first.stream, expected_revision(first), events);
            let mut append = Box::pin(maybe_done(append));
            // the append has a reserved place, so the first poll sends it
            let _ = poll!(append.as_mut());
            asked.push(Ok(append));
        }
        let mut answers = Vec::with_capacity(runs.len());
        let mut is_sound = true;
        for (run, asked) in runs.iter().zip(asked) {
            let mut append = match asked {
                Ok(append) => append,
                Err(failed) => {
                    answers.push(failed.map(|failed| failed.then_untried(run.len())));
                    continue;
                }
            };
            append.as_mut().await;
            let answer = append.as_mut().take_output();
            is_sound &= matches!(answer, Some(Ok(_)));
            answers.push(answer.and_then(|answer| first_answer(run, answer)));
        }
        if is_sound {
            self.appenders.lock().push(appender);
        }
        answers
    }

    /// The outcomes of the runs of one stream, in order. Refused runs are tried alone.
    async fn look_into(
        &self,
        of_stream: Vec<(usize, Run<'_>, Answer)>,
        is_away: &AtomicBool,
    ) -> Found {
        let mut has_failed = false;
        let mut found = Vec::with_capacity(of_stream.len());
        for (index, run, answer) in of_stream {
            let outcomes = match answer {
                _ if has_failed => vec![Outcome::Untried; run.len()],
                Some(outcomes) => outcomes,
                None if is_away.load(Ordering::Relaxed) => vec![Outcome::Untried; run.len()],
                None => self.exact.append(run).await,
            };
            has_failed |= !outcomes.iter().all(Outcome::is_done);
            if outcomes.iter().any(says_away) {
                is_away.store(true, Ordering::Relaxed);
            }
            found.push((index, outcomes));
        }
        found
    }
}

fn first_answer(run: Run<'_>, answer: es::Result<es::AppendOutcome>) -> Answer {
    match answer {
        Ok(es::AppendOutcome::Written { .. }) => {
            Some(run.iter().map(|one| Outcome::Written(Some(one.event.revision))).collect())
        }
        Ok(es::AppendOutcome::WrongExpectedRevision { .. }) => None,
        // perhaps too large, or the server is no longer the leader: a separate call looks for the
        // leader
        Err(failed)
            if matches!(failed.kind(), es::ErrorKind::Rejected | es::ErrorKind::NotLeader) =>
        {
            None
        }
        Err(failed) => Some(all_failed(&failed, run)),
    }
}

fn all_failed(failed: &es::Error, run: Run<'_>) -> Vec<Outcome> {
    failure(failed).then_untried(run.len())
}

fn says_away(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unavailable(_))
}
