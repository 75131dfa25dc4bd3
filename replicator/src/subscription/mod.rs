//! One subscription as it runs: the actor around a [`Pipeline`](crate::pipeline::Pipeline), and the tasks that do what it asks for.
//!
//! ```text
//!   reader task --Arrived--> [SubscriptionActor: pipeline] --Write--> [LaneActor] --task--> sink
//!        ^  credit (events, bytes)  |  ^                                   |
//!        +--------------------------+  +-------------- Written ------------+
//!                   | Settle --> settler task      | Park --> parking task      | SaveCheckpoint --> task
//! ```
//!
//! Mailboxes have no bound of their own, so the reader takes credit before it reads: an event holds one credit until it is done, and reading
//! pauses while too many bytes are held. Everything else that is sent to the actor answers something that it asked for.

mod actor;
mod flow;
mod lane;
mod reader;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::time::Clock;
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

/// Everything that a subscription is made of.
pub struct Parts {
    /// Where events come from.
    pub source: Arc<dyn Source>,
    /// Where they go.
    pub sink: Arc<dyn Sink>,
    /// Where its position is kept.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// Where its parked events are kept.
    pub parking: Arc<ParkingLot>,
    /// Which events are left out.
    pub shaping: Arc<Shaping>,
    /// Who is told everything.
    pub monitor: Arc<Monitor>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The rules.
    pub pipeline: PipelineSettings,
    /// Bytes that may be held; reading pauses above it.
    pub held_bytes_max: usize,
    /// How often the source is asked for its newest event.
    pub head_interval: Duration,
    /// Whether it ends when everything that was there at the start is done.
    pub run_once: bool,
    /// Whether the source is told nothing.
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
    /// Starts a subscription after its checkpoint.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` when the checkpoint cannot be read; `Rejected` when a setting is wrong.
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

    /// Waits for its end: `Ok` when it was asked to end, or is done. May be called again after it was cancelled, not after it ended.
    ///
    /// # Errors
    /// The reason of a failure.
    pub async fn ended(&mut self) -> Result<(), String> {
        let ended = (&mut self.ended).await;
        let ended = ended.unwrap_or_else(|_| Err("its actor ended: this is a bug".to_owned()));
        self.monitor.ended(ended.as_ref().err().map(String::as_str));
        ended
    }

    /// Asks it to finish what it holds, and waits for at most `timeout`.
    ///
    /// # Errors
    /// The reason of a failure, also of one before.
    pub async fn stop(mut self, timeout: Duration) -> Result<(), String> {
        self.monitor.stopping();
        // the mailbox is gone when it has ended already
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
