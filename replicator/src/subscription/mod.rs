//! A running subscription: the actor around a [`Pipeline`](crate::pipeline::Pipeline), and the
//! tasks that carry out its effects.
//!
//! ```text
//!   reader task --Arrived--> [SubscriptionActor: pipeline] --Write--> write task --> sink
//!        ^  credit (events, bytes)  |  ^                                   |
//!        +--------------------------+  +-------------- Written ------------+
//!                  | Settle --> settler task   | Park --> parking task   | SaveCheckpoint --> task
//! ```
//!
//! Mailboxes are unbounded, so the reader takes credit before it reads: an event holds one credit
//! until it is done, and reading pauses while too many bytes are held. Every other message to the
//! actor answers a request of the actor.

mod actor;
mod anchors;
mod course;
mod flow;
mod message;
mod parts;
mod reader;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorRef};
use tokio::sync::oneshot;

use self::actor::SubscriptionActor;
use self::message::{Message, tell};
pub use self::parts::Parts;
use crate::health::Monitor;
use crate::pipeline::Input;
use crate::{Error, Result};

/// A running subscription.
pub struct RunningSubscription {
    name: String,
    monitor: Arc<Monitor>,
    actor: ActorRef<Message>,
    ended: oneshot::Receiver<Result<(), String>>,
}

impl RunningSubscription {
    /// Starts a subscription at its checkpoint. A cancelled call leaves no subscription behind, or
    /// one without a handle.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` when the checkpoint cannot be read; `Rejected` when a setting is
    /// out of range.
    pub async fn start(parts: Parts) -> Result<Self> {
        let bookmark = match parts.source.settles() {
            true => None,
            false => parts.checkpoints.load().await?,
        };
        let name = parts.monitor.subscription().name.clone();
        let monitor = parts.monitor.clone();
        monitor.starting(bookmark.as_ref().map(|bookmark| &bookmark.position));
        let (tell_end, ended) = oneshot::channel();
        let arguments = actor::Arguments { parts, bookmark, tell_end };
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

    /// Asks the subscription to finish the events that it holds, and waits at most `timeout`. After
    /// a cancelled call it still finishes them.
    ///
    /// # Errors
    /// The reason of a failure, even of an earlier one.
    pub async fn stop(mut self, timeout: Duration) -> Result<(), String> {
        self.monitor.stopping();
        tell(&self.actor, Input::Drain);
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
