//! The events that wait for another try, and the events that are parked: how many, and the oldest.
//!
//! An event that failed is in the list until it is done, or nothing is held any more. The list has
//! at most one event of a stream, and so no more events than are held.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::event::Envelope;
use crate::park::{Parked, ParkedOldest};
use crate::pipeline::Note;

/// An event that failed and is tried again.
#[derive(Debug)]
struct Failing {
    revision: u64,
    since: Instant,
    attempts: u32,
    reason: String,
}

/// The events of one subscription that a person should look at.
#[derive(Debug, Default)]
pub(super) struct Attention {
    /// The arrival of each event that is not done; no more of them than the pipeline may hold.
    held: BTreeMap<(Arc<str>, u64), Instant>,
    failing: BTreeMap<Arc<str>, Failing>,
    parked: Option<Parked>,
}

impl Attention {
    /// An event arrived. An event that is delivered again keeps its first arrival.
    pub(super) fn arrived(&mut self, now: Instant, envelope: &Envelope) {
        let event = &envelope.event;
        self.held.entry((event.stream.clone(), event.revision)).or_insert(now);
    }

    /// Takes a note of the pipeline.
    pub(super) fn note(&mut self, now: Instant, note: &Note) {
        match note {
            Note::Retrying { envelope, attempt, reason, .. } => {
                let event = &envelope.event;
                let before = self.failing.get(&event.stream);
                let before = before.filter(|failing| failing.revision == event.revision);
                let failing = Failing {
                    revision: event.revision,
                    since: before.map_or(now, |failing| failing.since),
                    attempts: *attempt,
                    reason: reason.clone(),
                };
                self.failing.insert(event.stream.clone(), failing);
            }
            Note::Completed { envelope, .. }
            | Note::Skipped { envelope, .. }
            | Note::Parked { envelope, .. }
            | Note::Unresolved(envelope) => self.done(envelope),
            Note::NotRedelivered(stream, revision) => self.gone(stream, *revision),
            Note::Conflict { .. }
            | Note::SinkDown(_)
            | Note::SinkUp
            | Note::SourceUp
            | Note::SourceDown { .. }
            | Note::Renewed(..)
            | Note::Checkpoint(_)
            | Note::CheckpointFailed(_)
            | Note::ParkingFailed(_)
            | Note::CaughtUp
            | Note::FellBehind => {}
        }
    }

    fn done(&mut self, envelope: &Envelope) {
        self.held.remove(&(envelope.event.stream.clone(), envelope.event.revision));
        if !self.failing.is_empty() {
            self.gone(&envelope.event.stream, envelope.event.revision);
        }
    }

    fn gone(&mut self, stream: &str, revision: u64) {
        if self.failing.get(stream).is_some_and(|failing| failing.revision <= revision) {
            self.failing.remove(stream);
        }
    }

    /// No event is held any more.
    pub(super) fn nothing_held(&mut self) {
        self.held.clear();
        self.failing.clear();
    }

    /// The parked events. Returns whether this is the first time that some are known.
    pub(super) fn parked(&mut self, parked: Parked) -> bool {
        let is_first = self.parked.is_none() && parked.count > 0;
        self.parked = Some(parked);
        is_first
    }

    /// Number of failing events, and the time since the first failure of the oldest.
    pub(super) fn failing(&self, now: Instant) -> (usize, Option<Duration>) {
        (self.failing.len(), self.oldest().map(|(_, failing)| age(now, failing)))
    }

    /// Number of parked events, and the time since the oldest was parked.
    pub(super) fn parked_age(&self, wall: u64) -> (u64, Option<Duration>) {
        let parked = self.parked.as_ref();
        let oldest = parked.and_then(|parked| parked.oldest.as_ref());
        (parked.map_or(0, |parked| parked.count), oldest.map(|oldest| since(wall, oldest)))
    }

    /// A sentence for the waiting events, and one for the parked events.
    pub(super) fn sentences(&self, now: Instant, wall: u64) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some((stream, failing)) = self.oldest() {
            sentences.push(format!(
                "{} failing events are tried again, the oldest is #{} of `{stream}` since {} s, {} tries: {}",
                self.failing.len(),
                failing.revision,
                age(now, failing).as_secs(),
                failing.attempts,
                failing.reason
            ));
        }
        if let Some(parked) = self.parked.as_ref().filter(|parked| parked.count > 0) {
            let oldest = parked.oldest.as_ref().map_or(String::new(), |oldest| {
                let reason = oldest.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
                let seconds = since(wall, oldest).as_secs();
                format!(
                    ", the oldest is #{} of `{}` since {seconds} s{reason}",
                    oldest.revision, oldest.stream
                )
            });
            sentences.push(format!("{} events are parked{oldest}", parked.count));
        }
        sentences
    }

    /// The state for machines; `held` is the number of events that are not settled.
    pub(super) fn json(&self, now: Instant, wall: u64, held: u64) -> Value {
        let failing = self.oldest().map(|(stream, failing)| {
            json!({
                "stream": &**stream,
                "number": failing.revision,
                "seconds": age(now, failing).as_secs(),
                "tries": failing.attempts,
                "reason": failing.reason,
            })
        });
        // while the destination is away nothing fails, and everything waits
        let waiting = self.held.iter().min_by_key(|(_, arrived)| **arrived);
        let waiting = waiting.map(|((stream, number), arrived)| {
            let seconds = now.saturating_duration_since(*arrived).as_secs();
            json!({ "stream": &**stream, "number": number, "seconds": seconds })
        });
        let parked = self.parked.as_ref();
        let oldest = parked.and_then(|parked| parked.oldest.as_ref()).map(|oldest| {
            json!({
                "stream": oldest.stream,
                "number": oldest.revision,
                "seconds": since(wall, oldest).as_secs(),
                "reason": oldest.reason,
            })
        });
        json!({
            "waiting": { "events": held, "oldest": waiting },
            "failing": { "events": self.failing.len(), "oldest": failing },
            // none while nobody has looked yet
            "parked": { "events": parked.map(|parked| parked.count), "oldest": oldest },
        })
    }

    fn oldest(&self) -> Option<(&Arc<str>, &Failing)> {
        self.failing.iter().min_by_key(|(_, failing)| failing.since)
    }
}

fn age(now: Instant, failing: &Failing) -> Duration {
    now.saturating_duration_since(failing.since)
}

fn since(wall: u64, oldest: &ParkedOldest) -> Duration {
    Duration::from_micros(wall.saturating_sub(oldest.parked_at))
}
