//! Appends behind the last event, after a search for ids that are already there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use antiphon_eventstore as es;
use uuid::Uuid;

use super::append::ids;
use super::{EventStoreSink, failed_first, failure, new_event};
use crate::event::Envelope;
use crate::sink::Outcome;

/// Limit of rounds in one write, when other clients write to the stream between the read and the
/// append.
const ROUNDS_MAX: usize = 5;

/// The known ends of the destination's streams.
#[derive(Debug, Default)]
pub(super) struct Tails {
    by_stream: BTreeMap<Arc<str>, Tail>,
    id_count: usize,
}

#[derive(Debug, Clone, Default)]
struct Tail {
    last: Option<u64>,
    order: VecDeque<Uuid>,
    ids: BTreeSet<Uuid>,
}

impl Tail {
    fn push(&mut self, id: Uuid, count_max: usize) {
        self.order.push_back(id);
        self.ids.insert(id);
        if self.order.len() > count_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

impl Tails {
    fn take(&mut self, stream: &str) -> Option<Tail> {
        let tail = self.by_stream.remove(stream)?;
        self.id_count -= tail.order.len();
        Some(tail)
    }

    fn put(&mut self, stream: Arc<str>, tail: Tail, id_count_max: usize) {
        self.take(&stream);
        self.id_count += tail.order.len();
        self.by_stream.insert(stream, tail);
        while self.id_count > id_count_max
            && let Some((_, forgotten)) = self.by_stream.pop_first()
        {
            self.id_count -= forgotten.order.len();
        }
    }
}

impl EventStoreSink {
    pub(super) async fn append_looking_back(&self, run: &[Envelope]) -> Vec<Outcome> {
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
                    Err(outcome) => return failed_first(outcome, run.len()),
                },
            };
            let mut seen = BTreeSet::new();
            let is_new = |envelope: &&Envelope| {
                let id = envelope.event.id;
                !tail.ids.contains(&id) && seen.insert(id)
            };
            let fresh: Vec<&Envelope> = run.iter().filter(is_new).collect();
            if fresh.is_empty() {
                self.keep(stream, tail);
                return vec![Outcome::Duplicate; run.len()];
            }
            match self.append_behind(&stream, &tail, &fresh).await {
                Ok(Some(last)) => {
                    let outcomes = outcomes(run, &tail, &fresh, last);
                    tail.last = Some(last);
                    let kept = usize::try_from(self.settings.look_back_max).unwrap_or(usize::MAX);
                    fresh.iter().for_each(|envelope| tail.push(envelope.event.id, kept));
                    self.keep(stream, tail);
                    return outcomes;
                }
                Ok(None) => {}
                Err(Outcome::Rejected(_)) if fresh.len() > 1 => {
                    return self.one_by_one(run).await;
                }
                Err(outcome) => return failed_first(outcome, run.len()),
            }
        }
        let text = format!("stream `{stream}`: others wrote to it {ROUNDS_MAX} times meanwhile");
        failed_first(Outcome::Retryable(text), run.len())
    }

    fn keep(&self, stream: Arc<str>, tail: Tail) {
        let id_count_max = self.settings.known_ids_max;
        self.tails.lock().put(stream, tail, id_count_max);
    }

    /// The last number after the append; none when the destination moved in between.
    async fn append_behind(
        &self,
        stream: &str,
        tail: &Tail,
        fresh: &[&Envelope],
    ) -> Result<Option<u64>, Outcome> {
        let expected =
            tail.last.map_or(es::ExpectedRevision::NoStream, es::ExpectedRevision::Exact);
        let events = fresh.iter().map(|envelope| new_event(envelope)).collect();
        match self.client.append(stream, expected, events).await {
            Ok(es::AppendOutcome::Written { next_revision, .. }) => Ok(Some(next_revision)),
            Ok(es::AppendOutcome::WrongExpectedRevision { .. }) => Ok(None),
            Err(failed) => Err(failure(&failed)),
        }
    }

    /// Appends a run that is too large as a whole, event by event. Stops at an event that fails.
    async fn one_by_one(&self, run: &[Envelope]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(run.len());
        for envelope in run {
            let one = Box::pin(self.append_looking_back(std::slice::from_ref(envelope))).await;
            let is_done = one.iter().all(super::is_done);
            outcomes.extend(one);
            if !is_done {
                break;
            }
        }
        outcomes.resize(run.len(), Outcome::Untried);
        outcomes
    }

    async fn read_tail(&self, stream: &str) -> Result<Tail, Outcome> {
        let (backwards, count) = (es::Direction::Backwards, self.settings.look_back_max);
        let read =
            self.client.read_stream(stream, backwards, es::ReadFrom::End, count, false).await;
        let events = match read {
            Ok(events) => events.collect().await,
            Err(failed) => Err(failed),
        };
        let events = match events {
            Ok(events) => ids(events),
            Err(failed) if failed.kind() == es::ErrorKind::NotFound => Vec::new(),
            Err(failed) => return Err(failure(&failed)),
        };
        let mut tail = Tail { last: events.first().map(|(last, _)| *last), ..Tail::default() };
        for (_, id) in events.into_iter().rev() {
            tail.push(id, usize::try_from(count).unwrap_or(usize::MAX));
        }
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
