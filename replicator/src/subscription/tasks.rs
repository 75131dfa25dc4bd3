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
use crate::source::{Bookmark, Settler, Source, Token, Verdict};

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
pub(super) fn save(store: Arc<dyn CheckpointStore>, bookmark: Bookmark, actor: ActorRef<Message>) {
    task::spawn("checkpoint", async move {
        let saved = store.save(&bookmark).await.map_err(|error| error.to_string());
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

/// Interval at which a group is asked if it has more, and number of equal answers that count.
const OVER_INTERVAL: Duration = Duration::from_millis(300);
const OVER_COUNT: usize = 3;

/// Tells an actor that runs once where it ends, and when a source that settles has no more.
async fn tell_end(source: &dyn Source, actor: &ActorRef<Message>) -> crate::Result<()> {
    let target = source.target().await?;
    let _ = actor.cast(Message::Target(target.clone()));
    let Some(target) = target.filter(|_| source.settles()) else { return Ok(()) };
    let mut over = 0;
    while over < OVER_COUNT {
        tokio::time::sleep(OVER_INTERVAL).await;
        over = if source.is_over(&target).await? { over + 1 } else { 0 };
    }
    let _ = actor.cast(Message::Target(None));
    Ok(())
}

/// Asks for the newest event at intervals. Tells an actor that runs once where it ends.
pub(super) fn watch_head(
    source: Arc<dyn Source>,
    monitor: Arc<Monitor>,
    interval: Duration,
    mut runs_once: Option<ActorRef<Message>>,
) -> JoinHandle<()> {
    task::spawn("head", async move {
        loop {
            if let Some(actor) = &runs_once {
                match tell_end(&*source, actor).await {
                    Ok(()) => runs_once = None,
                    Err(error) => tracing::warn!(%error, "the end of this run is not known yet"),
                }
            }
            match source.head().await {
                Ok(head) => {
                    if head.is_none() {
                        monitor.no_head();
                    }
                    head.iter().for_each(|position| monitor.head(position));
                }
                // the reader meets and reports this error as well
                Err(error) => tracing::debug!(%error, "the newest event is not known"),
            }
            tokio::time::sleep(interval).await;
        }
    })
}

/// Looks for parked events at intervals: at a source that parks, else in the parking lot.
pub(super) fn watch_parked(
    source: Arc<dyn Source>,
    parking: Arc<ParkingLot>,
    monitor: Arc<Monitor>,
    interval: Duration,
) -> JoinHandle<()> {
    task::spawn("parked", async move {
        let mut seen = None;
        loop {
            let parked = if source.settles() {
                source.parked().await
            } else {
                let version = parking.version();
                let lot = parking.clone();
                // the file is read only when it changed
                if seen.replace(version) == Some(version) {
                    Ok(None)
                } else {
                    tokio::task::spawn_blocking(move || lot.summary().map(Some))
                        .await
                        .unwrap_or(Ok(None))
                }
            };
            match parked {
                Ok(Some(parked)) => monitor.parked(parked),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the parked events are not known"),
            }
            tokio::time::sleep(interval).await;
        }
    })
}
