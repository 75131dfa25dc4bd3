//! The small tasks of a subscription: writing, settling, parking, saving, the timer, the newest
//! event.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use antiphon_base::time::Clock;
use ractor::ActorRef;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::message::{Message, tell};
use crate::ErrorKind;
use crate::checkpoint::CheckpointStore;
use crate::event::Envelope;
use crate::health::Monitor;
use crate::park::{ParkedEvent, ParkingLot};
use crate::pipeline::{Generation, Input, Seq, WriteId};
use crate::sink::Sink;
use crate::source::{Position, Settler, Source, Token, Verdict};

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
                return tell(&actor, Input::SourceLost { generation, reason, is_final: false });
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
            let result = match parked {
                Ok(Ok(())) => Ok(()),
                // a full lot stays full: continuing would lose track of parked events
                Ok(Err(error)) if error.kind() == ErrorKind::Rejected => {
                    let _ = actor.cast(Message::Failed(error.to_string()));
                    continue;
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            tell(&actor, Input::Parked(seq, result));
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
                        tell(&actor, Input::Tick);
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

/// Passes a batch to the sink.
pub(super) fn write(
    sink: Arc<dyn Sink>,
    write: WriteId,
    batch: Vec<Envelope>,
    actor: ActorRef<Message>,
) {
    let writing = task::spawn("write", async move { sink.write(&batch).await });
    task::spawn("written", async move {
        // a sink that panics reports no outcomes: the pipeline tries the events again
        let outcomes = writing.await.unwrap_or_default();
        tell(&actor, Input::Written(write, outcomes));
    });
}

/// Saves the checkpoint.
pub(super) fn save(store: Arc<dyn CheckpointStore>, position: Position, actor: ActorRef<Message>) {
    task::spawn("checkpoint", async move {
        let saved = store.save(&position).await.map_err(|error| error.to_string());
        tell(&actor, Input::CheckpointSaved(saved));
    });
}

/// Asks the sink if it is reachable.
pub(super) fn probe(sink: Arc<dyn Sink>, actor: ActorRef<Message>) {
    task::spawn("probe", async move {
        let probed = sink.probe().await.map_err(|error| error.to_string());
        tell(&actor, Input::Probed(probed));
    });
}

/// Asks for the newest event at intervals. Tells the first answer to an actor that runs once.
pub(super) fn watch_head(
    source: Arc<dyn Source>,
    monitor: Arc<Monitor>,
    interval: Duration,
    mut runs_once: Option<ActorRef<Message>>,
) -> JoinHandle<()> {
    task::spawn("head", async move {
        loop {
            match source.head().await {
                Ok(head) => {
                    head.iter().for_each(|position| monitor.head(position));
                    if let Some(actor) = runs_once.take() {
                        let _ = actor.cast(Message::Target(head));
                    }
                }
                // the reader meets and reports this error as well
                Err(error) => tracing::debug!(%error, "the newest event is not known"),
            }
            tokio::time::sleep(interval).await;
        }
    })
}
