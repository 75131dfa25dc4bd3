//! A running subscription: the actor around a [`Pipeline`](crate::pipeline::Pipeline), and the
//! tasks that carry out its effects.
//! tasks that carry out its effects.
//!
//! ```text
//!   reader task --Arrived--> [SubscriptionActor: pipeline] --Write--> [LaneActor] --task--> sink
//!        ^  credit (events, bytes)  |  ^                                   |
//!        +--------------------------+  +-------------- Written ------------+
//!                  | Settle --> settler task   | Park --> parking task   | SaveCheckpoint --> task
//! ```
//!
//! Mailboxes are unbounded, so the reader takes credit before it reads: an event holds one credit
//! until it is done, and reading pauses while too many bytes are held. Every other message to the
//! actor answers a request of the actor.

mod actor;
mod flow;
mod lane;
mod reader;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Clock;
use ractor::{Actor, ActorRef};
use tokio::sync::oneshot;

use self::actor::{Message, SubscriptionActor};
use crate::checkpoint::CheckpointStore;
use crate::filter::Shaping;
use crate::health::Monitor;
use crate::park::ParkingLot;
use crate::pipeline::{Input, PipelineSettings};
use crate::sink::Sink;
use crate::source::Source;
use crate::{Error, Result};

/// The parts of a subscription.
pub struct Parts {
    /// The source of its events.
    pub source: Arc<dyn Source>,
    /// The destination of its events.
    pub sink: Arc<dyn Sink>,
    /// The store of its position.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// The store of its parked events.
    pub parking: Arc<ParkingLot>,
    /// The rules that exclude events.
    pub shaping: Arc<Shaping>,
    /// The observer of all its events and states.
    pub monitor: Arc<Monitor>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The rules.
    pub pipeline: PipelineSettings,
    /// Largest number of bytes held. Reading pauses above it.
    pub held_bytes_max: usize,
    /// Interval at which the source is asked for its newest event.
    pub head_interval: Duration,
    /// True when it ends as soon as all events that were there at the start are done.
    pub run_once: bool,
    /// True when no verdict is sent to the source.
    pub settles_nothing: bool,
}

/// A running subscription.
pub struct RunningSubscription {
    name: String,
    monitor: Arc<Monitor>,
    actor: ActorRef<Message>,
    ended: oneshot::Receiver<Result<(), String>>,
}

impl RunningSubscription {
    /// Starts a subscription at its checkpoint.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` when the checkpoint cannot be read; `Rejected` when a setting is
    /// out of range.
    pub async fn start(parts: Parts) -> Result<Self> {
        let position = match parts.source.settles() {
            true => None,
            false => parts.checkpoints.load().await?,
        };
        let name = parts.monitor.subscription().name.clone();
        let monitor = parts.monitor.clone();
        monitor.starting(position.as_ref());
        let (tell_end, ended) = oneshot::channel();
        let arguments = actor::Arguments { parts, position, tell_end };
        let (actor, _) = Actor::spawn(None, SubscriptionActor, arguments)
            .await
            .map_err(|error| Error::rejected(format!("subscription `{name}`: {error}")))?;
        Ok(Self { name, monitor, actor, ended })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for its end. `Ok` when it is done or was asked to end. May be called again after it
    /// was cancelled, but not after it returned.
    ///
    /// # Errors
    /// The reason of a failure.
    pub async fn ended(&mut self) -> Result<(), String> {
        let ended = (&mut self.ended).await;
        let ended = ended.unwrap_or_else(|_| Err("its actor ended: this is a bug".to_owned()));
        self.monitor.ended(ended.as_ref().err().map(String::as_str));
        ended
    }

    /// Asks the subscription to finish the events that it holds, and waits at most `timeout`.
    ///
    /// # Errors
    /// The reason of a failure, even of an earlier one.
    pub async fn stop(mut self, timeout: Duration) -> Result<(), String> {
        self.monitor.stopping();
        // the mailbox is gone when the actor has already ended
        let _ = self.actor.cast(Message::Input(Input::Drain));
        match tokio::time::timeout(timeout, self.ended()).await {
            Ok(ended) => ended,
            Err(_) => {
                self.actor.kill();
                let reason = format!(
                    "it did not finish within `Settings:StopTimeout` {timeout:?}: what is not done is delivered again"
                );
                self.monitor.ended(Some(&reason));
                Err(reason)
            }
        }
    }
}
