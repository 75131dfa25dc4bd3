//! The small tasks of a subscription: settling, parking, the timer, the newest event.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use antiphon_base::time::Clock;
use ractor::ActorRef;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::actor::Message;
use crate::ErrorKind;
use crate::event::Envelope;
use crate::health::Monitor;
use crate::park::{ParkedEvent, ParkingLot};
use crate::pipeline::{Generation, Input, Seq};
use crate::source::{Settler, Source, Token, Verdict};

pub(super) type Verdicts = Vec<(Token, Verdict)>;

/// Sends verdicts on events to the source, in order. Ends when its sender is dropped.
pub(super) fn settle(
    generation: Generation,
    mut settler: Box<dyn Settler>,
    mut verdicts: mpsc::Receiver<Verdicts>,
    actor: ActorRef<Message>,
) -> JoinHandle<()> {
    task::spawn("settle", async move {
        while let Some(mut next) = verdicts.recv().await {
            while let Ok(more) = verdicts.try_recv() {
                next.extend(more);
            }
            if let Err(error) = settler.settle(next).await {
                let reason = error.to_string();
                let lost = Input::SourceLost { generation, reason, is_final: false };
                let _ = actor.cast(Message::Input(lost));
                return;
            }
        }
    })
}

/// An event on its way into the parking lot.
pub(super) struct ToPark {
    pub(super) seq: Seq,
    pub(super) envelope: Box<Envelope>,
    pub(super) reason: String,
}

/// Parks events in order.
pub(super) fn park(
    parking: Arc<ParkingLot>,
    clock: Arc<dyn Clock>,
    mut events: mpsc::Receiver<ToPark>,
    actor: ActorRef<Message>,
) -> JoinHandle<()> {
    task::spawn("park", async move {
        while let Some(ToPark { seq, envelope, reason }) = events.recv().await {
            let event = ParkedEvent::new(&envelope, &reason, clock.wall().as_micros());
            let parking = parking.clone();
            let parked = tokio::task::spawn_blocking(move || parking.park(&event)).await;
            let message = match parked {
                Ok(Ok(())) => Message::Input(Input::Parked(seq, Ok(()))),
                // a full lot stays full: continuing would lose track of parked events
                Ok(Err(error)) if error.kind() == ErrorKind::Rejected => {
                    Message::Failed(error.to_string())
                }
                Ok(Err(error)) => Message::Input(Input::Parked(seq, Err(error.to_string()))),
                Err(error) => Message::Input(Input::Parked(seq, Err(error.to_string()))),
            };
            let _ = actor.cast(message);
        }
    })
}

/// Wakes the actor at the time in `wake`.
pub(super) fn wake(
    mut wake: watch::Receiver<Option<Instant>>,
    actor: ActorRef<Message>,
) -> JoinHandle<()> {
    task::spawn("wake", async move {
        loop {
            let at = *wake.borrow_and_update();
            let changed = match at {
                None => wake.changed().await.is_ok(),
                Some(at) => match tokio::time::timeout_at(at, wake.changed()).await {
                    Ok(changed) => changed.is_ok(),
                    Err(_) => {
                        let _ = actor.cast(Message::Input(Input::Tick));
                        // the actor answers a tick with a new time, or the same one if nothing was
                        // due
                        wake.changed().await.is_ok()
                    }
                },
            };
            if !changed {
                return;
            }
        }
    })
}

/// Asks for the newest event at intervals.
pub(super) fn watch_head(
    source: Arc<dyn Source>,
    monitor: Arc<Monitor>,
    interval: Duration,
) -> JoinHandle<()> {
    task::spawn("head", async move {
        loop {
            match source.head().await {
                Ok(Some(position)) => monitor.head(&position),
                Ok(None) => {}
                // the reader meets and reports this error as well
                Err(error) => tracing::debug!(%error, "the newest event is not known"),
            }
            tokio::time::sleep(interval).await;
        }
    })
}
