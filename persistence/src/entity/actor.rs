//! The ractor actor around an engine: messages to inputs, actions to I/O. It decides nothing.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::engine::{Action, Engine, Generation, Input, Now, Release};
use super::handle::{EMPTY, FULL, UNKNOWN};
use super::runtime::Inner;
use super::writing::{append_with_shapes, save_and_read_back};
use super::{EntityCounters, EventSourced, StopReason};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::ReplicationId;
use crate::reply::ReplyError;
use crate::store::Append;
use crate::task;

/// What an entity's actor is sent.
pub(super) enum EntityMessage<E: EventSourced> {
    Input(Input<E>),
    /// Events of other replicas, counted in `arriving`.
    Replicated(Vec<StoredEvent>),
    Permit(Generation, OwnedSemaphorePermit),
}

impl<E: EventSourced> ractor::Message for EntityMessage<E> {}

pub(super) struct EntityActor<E>(PhantomData<fn() -> E>);

impl<E> EntityActor<E> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

pub(super) struct Arguments<E: EventSourced> {
    pub(super) id: ReplicationId,
    pub(super) arriving: Arc<AtomicUsize>,
    pub(super) is_empty: Arc<AtomicU8>,
    pub(super) engine: Engine<E>,
    pub(super) runtime: Arc<Inner<E>>,
}

pub(super) struct State<E: EventSourced> {
    id: ReplicationId,
    arriving: Arc<AtomicUsize>,
    is_empty: Arc<AtomicU8>,
    engine: Engine<E>,
    runtime: Arc<Inner<E>>,
    permit: Option<OwnedSemaphorePermit>,
    permit_request: Option<JoinHandle<()>>,
    asynchronous: Option<JoinHandle<()>>,
    has_stopped: bool,
}

impl<E: EventSourced> Drop for State<E> {
    fn drop(&mut self) {
        for task in [self.permit_request.take(), self.asynchronous.take()].into_iter().flatten() {
            task.abort();
        }
        if !self.has_stopped {
            // the actor was killed, or a bug made it panic: whoever waits for its end must hear of it
            let reason = StopReason::Failed("the entity's actor ended".into());
            self.runtime.parts.host.stopped(&self.id, reason);
        }
    }
}

impl<E: EventSourced> Actor for EntityActor<E> {
    type Msg = EntityMessage<E>;
    type State = State<E>;
    type Arguments = Arguments<E>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        arguments: Arguments<E>,
    ) -> Result<State<E>, ActorProcessingErr> {
        let Arguments { id, arriving, is_empty, engine, runtime } = arguments;
        Ok(State {
            id,
            arriving,
            is_empty,
            engine,
            runtime,
            permit: None,
            permit_request: None,
            asynchronous: None,
            has_stopped: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State<E>,
    ) -> Result<(), ActorProcessingErr> {
        let input = match message {
            EntityMessage::Input(input) => input,
            EntityMessage::Replicated(events) => {
                state.arriving.fetch_sub(events.len(), Ordering::AcqRel);
                Input::Replicated(events)
            }
            EntityMessage::Permit(generation, permit) => {
                state.permit = Some(permit);
                Input::PermitGranted(generation)
            }
        };
        if state.has_stopped {
            return Ok(());
        }
        let clock = &state.runtime.parts.clock;
        let now = Now { instant: clock.now(), wall: clock.wall() };
        for action in state.engine.step(now, input) {
            run(&myself, state, action);
        }
        let is_empty =
            state.engine.is_empty().map_or(UNKNOWN, |is_empty| if is_empty { EMPTY } else { FULL });
        state.is_empty.store(is_empty, Ordering::Relaxed);
        Ok(())
    }
}

/// Starts I/O whose result comes back as a message.
fn start<E: EventSourced>(
    name: &'static str,
    myself: &ActorRef<EntityMessage<E>>,
    input: impl Future<Output = Input<E>> + Send + 'static,
) -> JoinHandle<()> {
    let myself = myself.clone();
    task::spawn(name, async move {
        // an entity that is gone needs no result
        let _ = myself.send_message(EntityMessage::Input(input.await));
    })
}

fn run<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    state: &mut State<E>,
    action: Action<E>,
) {
    let parts = &state.runtime.parts;
    match action {
        Action::RequestPermit(generation) => request_permit(myself, state, generation),
        Action::ReleasePermit => {
            state.permit = None;
            if let Some(request) = state.permit_request.take() {
                request.abort();
            }
        }
        Action::Release(releases) => release(state, releases),
        Action::Publish(events) => parts.host.published(&state.id, &events),
        Action::Received(times) => parts.host.received(&state.id, &times),
        Action::CaughtUp(replica, highest) => {
            parts.host.caught_up(&state.id, &replica, highest);
        }
        Action::RunAsynchronous(generation, future) => {
            let task = start("asynchronous effect", myself, async move {
                Input::AsynchronousDone(generation, future.await)
            });
            state.asynchronous = Some(task);
        }
        Action::WakeAfter(time) => {
            start("entity wake", myself, async move {
                tokio::time::sleep(time).await;
                Input::Wake
            });
        }
        Action::Passivate => {
            if !parts.host.passivate(&state.id) {
                let _ = myself.send_message(EntityMessage::Input(Input::Stop));
            }
        }
        Action::Fenced(error) => parts.host.fenced(&state.id, &error),
        Action::Stopped(reason) => {
            state.has_stopped = true;
            parts.host.stopped(&state.id, reason);
            // what is in the mailbox is dropped with it, which answers
            myself.stop(None);
        }
        action @ (Action::LoadSnapshot(..)
        | Action::Replay(..)
        | Action::FindHighest(_)
        | Action::Append(..)
        | Action::Pull(..)
        | Action::SaveSnapshot(..)
        | Action::DeleteSnapshots(_)
        | Action::DeleteEvents(_)) => store(myself, state, action),
    }
}

fn request_permit<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    state: &mut State<E>,
    generation: Generation,
) {
    let (permits, to) = (state.runtime.permits.clone(), myself.clone());
    state.permit_request = Some(task::spawn("recovery permit", async move {
        let permit = permits.acquire_owned().await.expect("the permits are never closed");
        let _ = to.send_message(EntityMessage::Permit(generation, permit));
    }));
}

fn release<E: EventSourced>(state: &State<E>, releases: Vec<Release>) {
    if state.runtime.parts.host.may_release() {
        return releases.into_iter().for_each(Release::release);
    }
    EntityCounters::add(&state.runtime.counters.answers_withheld, releases.len());
    for release in releases {
        release.fail(&ReplyError::Timeout);
    }
}

/// The actions that read or write a store.
fn store<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    state: &State<E>,
    action: Action<E>,
) {
    let (parts, id) = (&state.runtime.parts, state.id.persistence_id());
    let (journal, snapshots) = (parts.journal.clone(), parts.snapshots.clone());
    match action {
        Action::LoadSnapshot(generation, last) => {
            start("load snapshot", myself, async move {
                let loaded = snapshots.latest_snapshot(&id, last).await;
                Input::SnapshotLoaded(generation, loaded)
            });
        }
        Action::Replay(generation, first) => {
            let count_max = state.runtime.settings.replay_events_max;
            start("replay", myself, async move {
                let events = journal.replay(&id, first, SequenceNr::MAX, count_max).await;
                Input::Replayed(generation, events)
            });
        }
        Action::FindHighest(generation) => {
            start("find highest", myself, async move {
                Input::HighestFound(generation, journal.highest(&id).await)
            });
        }
        Action::Append(generation, append) => start_append(myself, state, generation, append),
        Action::Pull(generation, replica, after) => {
            let count_max = state.runtime.settings.pull_events_max;
            let other = state.id.with_replica(replica.clone()).persistence_id();
            let journal = parts.peers.get(&replica).cloned();
            start("pull", myself, async move {
                let events = match journal {
                    Some(journal) => {
                        journal.replay(&other, after.next(), SequenceNr::MAX, count_max).await
                    }
                    None => Err(crate::Error::rejected(format!(
                        "replica `{replica}`: its journal is not known here"
                    ))),
                };
                Input::Pulled(generation, replica, events)
            });
        }
        Action::SaveSnapshot(generation, snapshot) => {
            let shapes = state.runtime.shapes_of_states();
            start("save snapshot", myself, async move {
                let saved = save_and_read_back(&*snapshots, shapes, &id, &snapshot).await;
                Input::SnapshotSaved(generation, snapshot.sequence_nr, saved)
            });
        }
        Action::DeleteSnapshots(last) => {
            delete(
                "delete snapshots",
                async move { snapshots.delete_snapshots_to(&id, last).await },
            );
        }
        Action::DeleteEvents(last) => {
            delete("delete events", async move { journal.delete_to(&id, last).await });
        }
        Action::RequestPermit(_)
        | Action::ReleasePermit
        | Action::Release(_)
        | Action::Publish(_)
        | Action::Received(_)
        | Action::CaughtUp(..)
        | Action::RunAsynchronous(..)
        | Action::WakeAfter(_)
        | Action::Passivate
        | Action::Fenced(_)
        | Action::Stopped(_) => unreachable!("`run` passes on the actions of the stores only"),
    }
}

fn start_append<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    state: &State<E>,
    generation: Generation,
    append: Append,
) {
    let parts = &state.runtime.parts;
    let (journal, writer) = (parts.journal.clone(), parts.writer.clone());
    let me = state.id.replica_id().clone();
    let shapes = state.runtime.shapes_of_events().map(|shapes| (shapes, me));
    start("append", myself, async move {
        let appended = append_with_shapes(&*journal, &writer, shapes, append).await;
        Input::Appended(generation, appended)
    });
}

/// Deleting is repeated after the next snapshot anyway, so that a failure is only logged.
fn delete(what: &'static str, deletion: impl Future<Output = crate::Result<()>> + Send + 'static) {
    task::spawn(what, async move {
        if let Err(error) = deletion.await {
            tracing::warn!(%error, "{what} failed");
        }
    });
}
