//! Appends behind the last event, after a search for ids that are already there.
//!
//! A destination that hides its older events, because it truncated or deleted the stream, or
//! because they are too far back, is asked in other ways, until the first event of this run is
//! written:
//!
//! - an event of the source before one that is visible at the destination is there;
//! - the server compares the id of an event that comes again with its own number;
//! - an append at any number finds the ids that the server remembers.

mod tail;

use std::collections::BTreeSet;

use antiphon_eventstore as es;
use parking_lot::Mutex;
use tail::{Tail, Tails, may_be_hidden};

use super::client::{behind, failure, ids, new_event};
use super::hidden::end_of_deleted;
use super::origin::Origin;
use super::settings::EventStoreSinkSettings;
use crate::event::Envelope;
use crate::sink::Outcome;
use crate::sink::run::Run;

/// Limit of rounds in one write, when other clients write to the stream between the read and the
/// append.
const ROUNDS_MAX: usize = 5;

/// Number of events of the source in one read.
const PAGE: u64 = 256;

/// Appends behind the last event.
pub(super) struct LookBack {
    client: es::EventStoreClient,
    origin: Option<Origin>,
    look_back_max: u64,
    tails: Mutex<Tails>,
}

/// The outcome of an append.
enum Appended {
    /// The number of the last event.
    At(u64),
    /// Nothing was written: the stream ends at this number.
    Moved(Option<u64>),
}

impl LookBack {
    pub(super) fn new(
        client: es::EventStoreClient,
        settings: &EventStoreSinkSettings,
        origin: Option<Origin>,
    ) -> Self {
        let tails = Mutex::new(Tails::new(settings.known_ids_max));
        Self { client, origin, look_back_max: settings.look_back_max, tails }
    }

    /// Appends the events of a run that are not there yet. A cancelled call may have written some.
    pub(super) async fn append(&self, run: Run<'_>) -> Vec<Outcome> {
        let stream = run[0].event.stream.clone();
        // a redelivered event may be older than the kept ids
        let is_repeated = run.iter().any(|envelope| envelope.retry_count > 0);
        let mut known = self.tails.lock().take(&stream).filter(|_| !is_repeated);
        let mut end = None;
        for _ in 0..ROUNDS_MAX {
            let tail = match known.take() {
                Some(tail) => Ok(tail),
                None => self.read_tail(&stream, end).await,
            };
            let asked = match tail {
                Ok(tail) => self.ask_source(tail, run).await,
                Err(outcome) => Err(outcome),
            };
            let mut tail = match asked {
                Ok(tail) => tail,
                Err(outcome) => return outcome.then_untried(run.len()),
            };
            let mut seen = BTreeSet::new();
            let is_new =
                |envelope: &&Envelope| !tail.has(envelope) && seen.insert(envelope.event.id);
            let fresh: Vec<&Envelope> = run.iter().filter(is_new).collect();
            if fresh.is_empty() {
                self.tails.lock().put(stream, tail);
                return vec![Outcome::Duplicate; run.len()];
            }
            if tail.hides && run.len() > 1 {
                self.tails.lock().put(stream, tail);
                return self.one_by_one(run).await;
            }
            let appended = match tail.hides {
                true => self.append_if_unknown(&tail, fresh[0]).await,
                false => self.append_at(&stream, behind(tail.last), &fresh).await,
            };
            match appended {
                Ok(Appended::At(number)) if tail.last.is_some_and(|last| number <= last) => {
                    self.tails.lock().put(stream, tail);
                    return vec![Outcome::Duplicate; run.len()];
                }
                Ok(Appended::At(last)) => {
                    let outcomes = outcomes(run, &tail, &fresh, last);
                    tail.last = Some(last);
                    let newest = fresh.last().map(|envelope| envelope.event.revision);
                    tail.keeps_numbers = Some(newest == Some(last));
                    // the later events of the source are not there either
                    tail.hides = false;
                    let kept = self.look_back_max;
                    fresh.iter().for_each(|envelope| tail.push(envelope.event.id, kept));
                    self.tails.lock().put(stream, tail);
                    return outcomes;
                }
                Ok(Appended::Moved(current)) => end = current,
                Err(Outcome::Rejected(_)) if fresh.len() > 1 => {
                    return self.one_by_one(run).await;
                }
                Err(outcome) => return outcome.then_untried(run.len()),
            }
        }
        let text = format!("stream `{stream}`: others wrote to it {ROUNDS_MAX} times meanwhile");
        Outcome::Retryable(text).then_untried(run.len())
    }

    /// Returns whether the events of a stream below number `end` have their numbers of the source
    /// at the destination, as far as the newest one tells.
    pub(super) async fn keeps_numbers(
        &self,
        stream: &str,
        source_stream: &str,
        end: u64,
    ) -> Result<bool, Outcome> {
        let known =
            self.tails.lock().get(stream).and_then(|tail| tail.keeps_numbers.zip(tail.last));
        if let Some((keeps, last)) = known {
            return Ok(keeps && last.saturating_add(1) >= end);
        }
        let (backwards, from) = (es::Direction::Backwards, es::ReadFrom::End);
        let newest = ids(&self.client, stream, backwards, from, 1).await?.into_iter().next();
        let (Some((number, id)), Some(origin)) = (newest, &self.origin) else { return Ok(false) };
        let same = origin.events(source_stream, number, 1).await?;
        let is_same = same.first().is_some_and(|same| same.revision == number && same.id == id);
        Ok(is_same && number.saturating_add(1) >= end)
    }

    async fn append_at(
        &self,
        stream: &str,
        expected: es::ExpectedRevision,
        events: &[&Envelope],
    ) -> Result<Appended, Outcome> {
        let events = events.iter().map(|envelope| new_event(&envelope.event)).collect();
        match self.client.append(stream, expected, events).await {
            Ok(es::AppendOutcome::Written { next_revision, .. }) => Ok(Appended::At(next_revision)),
            Ok(es::AppendOutcome::WrongExpectedRevision { current }) => {
                Ok(Appended::Moved(current))
            }
            Err(failed) => Err(failure(&failed)),
        }
    }

    /// Appends an event unless the server knows that the stream has it.
    async fn append_if_unknown(&self, tail: &Tail, one: &Envelope) -> Result<Appended, Outcome> {
        let (stream, revision) = (&one.event.stream, one.event.revision);
        // before the end of a stream nothing can be written, except at the beginning of a deleted
        // one
        let is_before = tail.last.is_some_and(|last| revision <= last);
        if is_before && (revision > 0 || tail.newest().is_some()) {
            let expected = behind(revision.checked_sub(1));
            let asked = self.append_at(stream, expected, &[one]).await?;
            if matches!(asked, Appended::At(_)) {
                return Ok(asked);
            }
        }
        self.append_at(stream, es::ExpectedRevision::Any, &[one]).await
    }

    /// Finds out, for a tail that hides events, up to which number of the source the destination
    /// has the stream.
    async fn ask_source(&self, mut tail: Tail, run: Run<'_>) -> Result<Tail, Outcome> {
        let is_open = |envelope: &&Envelope| may_be_hidden(envelope) && !tail.has(envelope);
        let Some(first) = run.iter().find(is_open).filter(|_| tail.hides) else { return Ok(tail) };
        let is_known = |envelope: &&Envelope| {
            envelope.source_stream == first.source_stream && tail.ids.contains(&envelope.event.id)
        };
        if let Some(known) = run.iter().rfind(is_known) {
            let last = Some(known.event.revision);
            tail.through = Some((first.source_stream.clone(), last));
            return Ok(tail);
        }
        let is_asked = tail.through.as_ref().is_some_and(|(of, _)| *of == first.source_stream);
        if let Some(origin) = self.origin.as_ref().filter(|_| !is_asked) {
            let last = self.through(origin, &tail, first).await?;
            tail.through = Some((first.source_stream.clone(), last));
        }
        Ok(tail)
    }

    /// The number at the source of the newest visible event of the destination: the same number, or
    /// a later one than that of `first`; none when the source does not show it.
    async fn through(
        &self,
        origin: &Origin,
        tail: &Tail,
        first: &Envelope,
    ) -> Result<Option<u64>, Outcome> {
        let (Some(last), Some(newest)) = (tail.last, tail.newest()) else { return Ok(None) };
        let same = origin.events(&first.source_stream, last, 1).await?;
        if same.first().is_some_and(|same| same.revision == last && same.id == newest) {
            return Ok(Some(last));
        }
        let mut found = None;
        let mut from = first.event.revision;
        let end = from.saturating_add(self.look_back_max);
        while from < end {
            let page = origin.events(&first.source_stream, from, PAGE.min(end - from)).await?;
            let known = page.iter().rfind(|event| tail.ids.contains(&event.id));
            let Some(last) = page.last() else { break };
            found = known.map(|event| event.revision).or(found);
            from = last.revision + 1;
        }
        Ok(found)
    }

    /// Appends a run event by event: it is too large as a whole, or each event may be hidden. Stops
    /// at an event that fails.
    async fn one_by_one(&self, run: &[Envelope]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(run.len());
        for envelope in run {
            let one = Box::pin(self.append(std::slice::from_ref(envelope))).await;
            let is_done = one.iter().all(Outcome::is_done);
            outcomes.extend(one);
            if !is_done {
                break;
            }
        }
        outcomes.resize(run.len(), Outcome::Untried);
        outcomes
    }

    /// Reads the end of a stream, which is known to be at `end` if all of it is hidden.
    async fn read_tail(&self, stream: &str, end: Option<u64>) -> Result<Tail, Outcome> {
        let (backwards, count) = (es::Direction::Backwards, self.look_back_max);
        let found = ids(&self.client, stream, backwards, es::ReadFrom::End, count).await?;
        let last = match (found.first(), end) {
            (Some((last, _)), _) => Some(*last),
            (None, Some(end)) => Some(end),
            (None, None) => end_of_deleted(&self.client, stream).await?,
        };
        Ok(Tail::new(last, found, count))
    }
}

fn outcomes(run: &[Envelope], tail: &Tail, fresh: &[&Envelope], last: u64) -> Vec<Outcome> {
    let count = u64::try_from(fresh.len()).unwrap_or(u64::MAX);
    let mut next = (last + 1).saturating_sub(count);
    let mut written = BTreeSet::new();
    run.iter()
        .map(|envelope| {
            let id = envelope.event.id;
            if tail.has(envelope) || !written.insert(id) {
                return Outcome::Duplicate;
            }
            next += 1;
            Outcome::Written(Some(next - 1))
        })
        .collect()
}
