//! Appends behind the last event, after a search for ids that are already there.

use std::collections::BTreeSet;
use std::sync::Arc;

use antiphon_eventstore as es;
use lru::LruCache;
use parking_lot::Mutex;
use uuid::Uuid;

use super::client::{behind, failure, ids, new_event};
use super::settings::EventStoreSinkSettings;
use crate::event::Envelope;
use crate::sink::Outcome;
use crate::sink::run::Run;

/// Limit of rounds in one write, when other clients write to the stream between the read and the
/// append.
const ROUNDS_MAX: usize = 5;

/// Appends behind the last event.
pub(super) struct LookBack {
    client: es::EventStoreClient,
    look_back_max: u64,
    tails: Mutex<Tails>,
}

/// The known ends of the destination's streams. The stream that was written least recently is
/// forgotten first, and read again at its next write.
struct Tails {
    by_stream: LruCache<Arc<str>, Tail>,
    id_count: usize,
    id_count_max: usize,
}

struct Tail {
    last: Option<u64>,
    /// The last ids, oldest first.
    ids: LruCache<Uuid, ()>,
}

impl Tail {
    fn push(&mut self, id: Uuid, count_max: u64) {
        self.ids.put(id, ());
        if u64::try_from(self.ids.len()).is_ok_and(|count| count > count_max) {
            self.ids.pop_lru();
        }
    }
}

impl Tails {
    fn take(&mut self, stream: &str) -> Option<Tail> {
        let tail = self.by_stream.pop(stream)?;
        self.id_count -= tail.ids.len();
        Some(tail)
    }

    fn put(&mut self, stream: Arc<str>, tail: Tail) {
        self.take(&stream);
        self.id_count += tail.ids.len();
        self.by_stream.put(stream, tail);
        while self.id_count > self.id_count_max
            && let Some((_, forgotten)) = self.by_stream.pop_lru()
        {
            self.id_count -= forgotten.ids.len();
        }
    }
}

impl LookBack {
    pub(super) fn new(client: es::EventStoreClient, settings: &EventStoreSinkSettings) -> Self {
        let tails = Tails {
            by_stream: LruCache::unbounded(),
            id_count: 0,
            id_count_max: settings.known_ids_max,
        };
        Self { client, look_back_max: settings.look_back_max, tails: Mutex::new(tails) }
    }

    /// Appends the events of a run that are not there yet. A cancelled call may have written some.
    pub(super) async fn append(&self, run: Run<'_>) -> Vec<Outcome> {
        let stream = run[0].event.stream.clone();
        // a redelivered event may be older than the kept ids
        let is_repeated = run.iter().any(|envelope| envelope.retry_count > 0);
        let mut known = self.tails.lock().take(&stream);
        if is_repeated {
            known = None;
        }
        for _ in 0..ROUNDS_MAX {
            let mut tail = match known.take() {
                Some(tail) => tail,
                None => match self.read_tail(&stream).await {
                    Ok(tail) => tail,
                    Err(outcome) => return outcome.then_untried(run.len()),
                },
            };
            let mut seen = BTreeSet::new();
            let is_new = |envelope: &&Envelope| {
                let id = envelope.event.id;
                !tail.ids.contains(&id) && seen.insert(id)
            };
            let fresh: Vec<&Envelope> = run.iter().filter(is_new).collect();
            if fresh.is_empty() {
                self.tails.lock().put(stream, tail);
                return vec![Outcome::Duplicate; run.len()];
            }
            match self.append_behind(&stream, &tail, &fresh).await {
                Ok(Some(last)) => {
                    let outcomes = outcomes(run, &tail, &fresh, last);
                    tail.last = Some(last);
                    let kept = self.look_back_max;
                    fresh.iter().for_each(|envelope| tail.push(envelope.event.id, kept));
                    self.tails.lock().put(stream, tail);
                    return outcomes;
                }
                Ok(None) => {}
                Err(Outcome::Rejected(_)) if fresh.len() > 1 => {
                    return self.one_by_one(run).await;
                }
                Err(outcome) => return outcome.then_untried(run.len()),
            }
        }
        let text = format!("stream `{stream}`: others wrote to it {ROUNDS_MAX} times meanwhile");
        Outcome::Retryable(text).then_untried(run.len())
    }

    /// The last number after the append; none when the destination moved in between.
    async fn append_behind(
        &self,
        stream: &str,
        tail: &Tail,
        fresh: &[&Envelope],
    ) -> Result<Option<u64>, Outcome> {
        let events = fresh.iter().map(|envelope| new_event(envelope)).collect();
        match self.client.append(stream, behind(tail.last), events).await {
            Ok(es::AppendOutcome::Written { next_revision, .. }) => Ok(Some(next_revision)),
            Ok(es::AppendOutcome::WrongExpectedRevision { .. }) => Ok(None),
            Err(failed) => Err(failure(&failed)),
        }
    }

    /// Appends a run that is too large as a whole, event by event. Stops at an event that fails.
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

    async fn read_tail(&self, stream: &str) -> Result<Tail, Outcome> {
        let (backwards, count) = (es::Direction::Backwards, self.look_back_max);
        let found = ids(&self.client, stream, backwards, es::ReadFrom::End, count).await?;
        let last = found.first().map(|(last, _)| *last);
        let mut tail = Tail { last, ids: LruCache::unbounded() };
        found.into_iter().rev().for_each(|(_, id)| tail.push(id, count));
        Ok(tail)
    }
}

fn outcomes(run: &[Envelope], tail: &Tail, fresh: &[&Envelope], last: u64) -> Vec<Outcome> {
    let count = u64::try_from(fresh.len()).unwrap_or(u64::MAX);
    let mut next = (last + 1).saturating_sub(count);
    let mut written = BTreeSet::new();
    run.iter()
        .map(|envelope| {
            let id = envelope.event.id;
            if tail.ids.contains(&id) || !written.insert(id) {
                return Outcome::Duplicate;
            }
            next += 1;
            Outcome::Written(Some(next - 1))
        })
        .collect()
}
