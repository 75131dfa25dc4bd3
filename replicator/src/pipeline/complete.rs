//! Consequences of a write's outcome, and parking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::core::{Out, ParkedItem, Phase, Pipeline};
use super::queue::{Block, Item, key_of};
use super::timers::Timer;
use super::{ConflictPolicy, Effect, Note, Now, Parking, Seq, WriteId};
use crate::sink::{Conflict, Outcome};
use crate::source::Verdict;

/// The decision about one event after a write.
enum Judgement {
    Done,
    /// The event waits again, for its turn or for its next try.
    Again(Box<Item>, Option<Duration>),
}

impl Pipeline {
    pub(super) fn written(
        &mut self,
        now: Now,
        write: WriteId,
        outcomes: Vec<Outcome>,
        out: &mut Out,
    ) {
        let done = self.writes.remove(&write);
        let done = done.unwrap_or_else(|| panic!("{write:?} ended, but is not under way"));
        self.streams.lanes[done.lane].writes -= 1;
        let outcomes = complete_outcomes(outcomes, done.items.len());
        self.learn_about_sink(now, &outcomes, out);

        let keys: BTreeSet<Arc<str>> =
            done.items.iter().map(|item| key_of(&item.envelope)).collect();
        let mut again: BTreeMap<Arc<str>, (Vec<Item>, Option<Duration>)> = BTreeMap::new();
        for (item, outcome) in done.items.into_iter().zip(outcomes) {
            let key = key_of(&item.envelope);
            if let Judgement::Again(item, delay) = self.judge(now, item, outcome, out) {
                // only the first failed event decides when the stream is tried again
                again.entry(key).or_insert_with(|| (Vec::new(), delay)).0.push(*item);
            }
        }
        for key in keys {
            if let Some(queue) = self.streams.get_mut(&key) {
                queue.writing = None;
            }
            let (items, delay) = again.remove(&key).unwrap_or_default();
            self.put_back(&key, items);
            match delay {
                Some(delay) => self.block(&key, Block::Retry, now.at + delay),
                None => self.streams.refresh(&key),
            }
        }
    }

    fn put_back(&mut self, key: &Arc<str>, items: Vec<Item>) {
        let Some(queue) = self.streams.get_mut(key) else { return };
        for item in items.into_iter().rev() {
            // an event that arrived late may be first in the queue now: each event goes to its own
            // position
            let place = queue.front_place_of(&item.envelope);
            queue.waiting.insert(place, item);
        }
    }

    fn judge(&mut self, now: Now, mut item: Item, outcome: Outcome, out: &mut Out) -> Judgement {
        match outcome {
            Outcome::Written(_) => self.complete(now, item, false, out),
            Outcome::Duplicate => self.complete(now, item, true, out),
            Outcome::Dropped => {
                self.skip(item, Verdict::Ack, "dropped by a transform".to_owned(), out);
            }
            Outcome::Rejected(reason) => self.park(now, item, reason, out),
            Outcome::Conflict(conflict @ Conflict::Ended) => {
                self.park(now, item, conflict.to_string(), out);
            }
            Outcome::Conflict(Conflict::Different { found }) => {
                return self.differs(now, item, &Conflict::Different { found }, out);
            }
            Outcome::Conflict(conflict @ Conflict::Missing { .. }) => {
                let since = *item.failed_since.get_or_insert(now.at);
                let bound = self.settings.missing_wait_max;
                if now.at - since < bound {
                    return self.retry(now, item, missing(&conflict), out);
                }
                let reason = format!("{} after {} s", missing(&conflict), bound.as_secs());
                self.park(now, item, reason, out);
            }
            Outcome::Retryable(reason) => {
                item.refusals += 1;
                if item.refusals <= self.settings.retry_count_max {
                    return self.retry(now, item, reason, out);
                }
                let refusals = item.refusals;
                self.park(now, item, format!("{reason}; tried {refusals} times"), out);
            }
            Outcome::Unavailable(_) => {
                // while the sink is unreachable no missing event can appear there
                item.failed_since = None;
                return Judgement::Again(Box::new(item), None);
            }
            Outcome::Untried => return Judgement::Again(Box::new(item), None),
        }
        Judgement::Done
    }

    fn complete(&mut self, now: Now, item: Item, duplicate: bool, out: &mut Out) {
        self.broken.forget(&item.envelope.event.stream, item.envelope.event.revision);
        self.done(item.seq);
        out.settle(item.envelope.token, Verdict::Ack);
        let elapsed = now.at - item.arrived;
        out.note(Note::Completed { envelope: Box::new(item.envelope), elapsed, duplicate });
        if !self.settings.throttle.is_zero() {
            let until = now.at + self.settings.throttle;
            self.quiet_until = Some(until);
            self.timers.set(until, Timer::Throttle);
        }
    }

    fn done(&mut self, seq: Seq) {
        self.watermark.done(seq);
        self.checkpoint.count();
    }

    fn skip(&mut self, item: Item, verdict: Verdict, reason: String, out: &mut Out) {
        self.done(item.seq);
        out.settle(item.envelope.token, verdict);
        out.note(Note::Skipped { envelope: Box::new(item.envelope), reason });
    }

    fn retry(&mut self, now: Now, mut item: Item, reason: String, out: &mut Out) -> Judgement {
        item.attempts += 1;
        item.failed_since.get_or_insert(now.at);
        let attempt = item.attempts;
        let delay = self.settings.retry_delay_of(attempt, now.jitter);
        let envelope = Box::new(item.envelope.clone());
        out.note(Note::Retrying { envelope, attempt, delay, reason });
        Judgement::Again(Box::new(item), Some(delay))
    }

    fn differs(&mut self, now: Now, item: Item, conflict: &Conflict, out: &mut Out) -> Judgement {
        let event = &item.envelope.event;
        let reason = format!("conflict at #{} of `{}`: {conflict}", event.revision, event.stream);
        let envelope = Box::new(item.envelope.clone());
        out.note(Note::Conflict { envelope, reason: reason.clone() });
        match self.settings.conflict_policy {
            ConflictPolicy::Park => self.park(now, item, reason, out),
            ConflictPolicy::Skip => self.skip(item, Verdict::Skip(reason.clone()), reason, out),
            ConflictPolicy::Stop => {
                self.phase = Phase::Ended;
                out.effects.push(Effect::Fail(reason));
                return Judgement::Again(Box::new(item), None);
            }
        }
        Judgement::Done
    }

    /// Parks an event. The later events of its stream are parked too if the setting `followers`
    /// says so.
    pub(super) fn park(&mut self, now: Now, item: Item, reason: String, out: &mut Out) {
        let seq = item.seq;
        let until = now.at + self.settings.broken_memory;
        let event = &item.envelope.event;
        let count_max = self.settings.broken_count_max;
        self.broken.insert(event.stream.clone(), event.revision, until, count_max);
        let envelope = Box::new(item.envelope.clone());
        match (self.settings.parking, item.envelope.token) {
            (Parking::Source, Some(token)) => {
                self.done(seq);
                out.settle(Some(token), Verdict::Park(reason.clone()));
                out.note(Note::Parked { envelope, reason });
            }
            // the source was lost meanwhile and delivers the event again, which is parked then
            (Parking::Source, None) => self.done(seq),
            (Parking::Own, _) => {
                out.effects.push(Effect::Park { seq, envelope, reason: reason.clone() });
                self.parking.insert(seq, ParkedItem { item, reason, failures: 0 });
            }
        }
    }

    pub(super) fn parked(&mut self, now: Now, seq: Seq, result: Result<(), String>, out: &mut Out) {
        let Some(parked) = self.parking.get_mut(&seq) else {
            panic!("{seq:?} was parked, but is not on its way there");
        };
        if let Err(reason) = result {
            parked.failures += 1;
            let delay = self.settings.retry_delay_of(parked.failures, now.jitter);
            out.note(Note::ParkingFailed(reason));
            self.timers.set(now.at + delay, Timer::ParkAgain(seq));
            return;
        }
        if let Some(ParkedItem { item, reason, .. }) = self.parking.remove(&seq) {
            self.done(seq);
            out.settle(item.envelope.token, Verdict::Ack);
            out.note(Note::Parked { envelope: Box::new(item.envelope), reason });
        }
    }

    pub(super) fn park_again(&mut self, seq: Seq, out: &mut Out) {
        if let Some(parked) = self.parking.get(&seq) {
            let envelope = Box::new(parked.item.envelope.clone());
            out.effects.push(Effect::Park { seq, envelope, reason: parked.reason.clone() });
        }
    }
}

fn missing(conflict: &Conflict) -> String {
    format!("the events before it are missing: {conflict}")
}

/// Fills in outcomes when the sink returned the wrong number of them. Such a sink breaks its
/// contract, so nothing is known and all events are tried again.
fn complete_outcomes(outcomes: Vec<Outcome>, count: usize) -> Vec<Outcome> {
    if outcomes.len() == count {
        return outcomes;
    }
    let reason = format!("the sink gave {} outcomes for {count} events", outcomes.len());
    Outcome::Retryable(reason).then_untried(count)
}
