//! A sink that shapes events on their way into another sink.

use std::slice::from_ref;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;

use super::hook::{Answer, Hook, HookFailure};
use crate::Result;
use crate::event::Envelope;
use crate::filter::{Shaped, Shaping};
use crate::sink::run::FailedStreams;
use crate::sink::{Outcome, Sink};

/// Renames, marks and transforms events, and passes them to the inner sink.
pub struct ShapingSink {
    shaping: Arc<Shaping>,
    hook: Option<Arc<Hook>>,
    inner: Arc<dyn Sink>,
}

enum Prepared {
    Ready(Box<Envelope>),
    Done(Outcome),
}

impl ShapingSink {
    /// Creates a sink around `inner`.
    pub fn new(shaping: Arc<Shaping>, hook: Option<Arc<Hook>>, inner: Arc<dyn Sink>) -> Self {
        Self { shaping, hook, inner }
    }

    async fn prepare(&self, envelope: &Envelope) -> Prepared {
        let event = match self.shaping.shape(&envelope.event) {
            Shaped::Event(event) => event,
            Shaped::Refused(reason) => return Prepared::Done(Outcome::Rejected(reason)),
        };
        let answer = match &self.hook {
            Some(hook) => hook.transform(&event).await,
            None => Ok(Answer::Event(Box::new(event))),
        };
        match answer {
            Ok(Answer::Event(event)) => {
                Prepared::Ready(Box::new(Envelope { event: *event, ..envelope.clone() }))
            }
            Ok(Answer::Drop) => Prepared::Done(Outcome::Dropped),
            Err(HookFailure::Unreachable(reason)) => Prepared::Done(Outcome::Unavailable(reason)),
            Err(HookFailure::Failed(reason)) => Prepared::Done(Outcome::Retryable(reason)),
            Err(HookFailure::Bad(reason)) => Prepared::Done(Outcome::Rejected(reason)),
        }
    }
}

#[async_trait]
impl Sink for ShapingSink {
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let prepared = join_all(batch.iter().map(|envelope| self.prepare(envelope))).await;
        let mut failed = FailedStreams::default();
        let mut ready = Vec::new();
        let mut outcomes: Vec<Option<Outcome>> = Vec::new();
        for (run, prepared) in batch.chunks(1).zip(prepared) {
            outcomes.push(match prepared {
                _ if failed.has(run) => Some(Outcome::Untried),
                Prepared::Ready(shaped) => {
                    ready.push(*shaped);
                    None
                }
                Prepared::Done(outcome) => {
                    failed.note(run, from_ref(&outcome));
                    Some(outcome)
                }
            });
        }
        let written = if ready.is_empty() { Vec::new() } else { self.inner.write(&ready).await };
        merge(batch, outcomes, written)
    }

    async fn probe(&self) -> Result<()> {
        if let Some(hook) = &self.hook {
            hook.probe().await?;
        }
        self.inner.probe().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }

    fn mixes_streams(&self) -> bool {
        self.inner.mixes_streams()
    }
}

/// Fills the gaps with the outcomes of the inner sink. Behind a failure of its stream, an event
/// that was not written becomes untried, even a dropped one: the hook is asked about it again with
/// the others.
fn merge(
    batch: &[Envelope],
    outcomes: Vec<Option<Outcome>>,
    written: Vec<Outcome>,
) -> Vec<Outcome> {
    let mut written = written.into_iter();
    let mut failed = FailedStreams::default();
    let mut merged = Vec::with_capacity(batch.len());
    for (run, outcome) in batch.chunks(1).zip(outcomes) {
        let outcome = outcome.or_else(|| written.next()).unwrap_or(Outcome::Untried);
        let is_there = matches!(outcome, Outcome::Written(_) | Outcome::Duplicate);
        let is_behind = failed.has(run) && !is_there;
        failed.note(run, from_ref(&outcome));
        merged.push(if is_behind { Outcome::Untried } else { outcome });
    }
    merged
}
