//! The actions of an entity's engine that read or write a store. Their results come back as inputs,
//! except for deletions.

use std::future::Future;

use antiphon_base::task;
use ractor::ActorRef;

use super::EventSourced;
use super::actor::{EntityMessage, State, start};
use super::engine::{Action, Generation, Input};
use super::writing::{append_with_shapes, save_and_read_back, void};
use crate::event::SequenceNr;
use crate::identity::ReplicaId;
use crate::store::Append;

/// Starts an action that reads or writes a store.
pub(super) fn store<E: EventSourced>(
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
                Input::SnapshotLoaded(generation, loaded.map(|found| found.map(Box::new)))
            });
        }
        Action::Replay(generation, first) => {
            let count_max = state.runtime.settings.replay_events_max;
            start("replay", myself, async move {
                let page = journal.replay_page(&id, first, SequenceNr::MAX, count_max).await;
                Input::Replayed(generation, page)
            });
        }
        Action::FindHighest(generation) => {
            start("find highest", myself, async move {
                Input::HighestFound(generation, journal.highest(&id).await)
            });
        }
        Action::Append(generation, append) => start_append(myself, state, generation, append),
        Action::Pull(generation, replica, after) => {
            start_pull(myself, state, generation, replica, after);
        }
        Action::SaveSnapshot(generation, snapshot) => {
            let shapes = state.runtime.shapes_of_states();
            start("save snapshot", myself, async move {
                let saved = save_and_read_back(&*snapshots, shapes, &id, &snapshot).await;
                Input::SnapshotSaved(generation, snapshot.sequence_nr, saved)
            });
        }
        Action::VoidSnapshots(generation, numbers) => {
            // an entity that was killed a moment ago voids nothing: its shard may live, and
            // store, elsewhere by now
            let Some(write) = state.writes.begin() else { return };
            start("void snapshots", myself, async move {
                let voided = void(&*snapshots, &id, &numbers).await;
                drop(write);
                Input::SnapshotsVoided(generation, voided)
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
        | Action::Held(..)
        | Action::AskSkip(..)
        | Action::RunAsynchronous(..)
        | Action::DropAsynchronous
        | Action::WakeAfter(_)
        | Action::GoOn
        | Action::Passivate
        | Action::WentBack
        | Action::Forked(_)
        | Action::Reclaimed
        | Action::Fenced(_)
        | Action::Stopped(_) => unreachable!("`run` passes on the actions of the stores only"),
    }
}

fn start_pull<E: EventSourced>(
    myself: &ActorRef<EntityMessage<E>>,
    state: &State<E>,
    generation: Generation,
    replica: ReplicaId,
    after: SequenceNr,
) {
    let count_max = state.runtime.settings.pull_events_max;
    let other = state.id.with_replica(replica.clone()).persistence_id();
    let journal = state.runtime.parts.peers.get(&replica).cloned();
    start("pull", myself, async move {
        let page = match journal {
            Some(journal) => {
                journal.replay_page(&other, after.next(), SequenceNr::MAX, count_max).await
            }
            None => Err(crate::Error::rejected(format!(
                "replica `{replica}`: its journal is not known here"
            ))),
        };
        Input::Pulled(generation, replica, page)
    });
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
    let shapes = state.runtime.shapes_of_events(&append.events).map(|shapes| (shapes, me));
    // an entity that was killed a moment ago writes nothing: its shard may live elsewhere by now
    let Some(write) = state.writes.begin() else { return };
    start("append", myself, async move {
        let appended = append_with_shapes(&*journal, &writer, shapes, append).await;
        drop(write);
        Input::Appended(generation, appended)
    });
}

/// Starts a deletion. A failure is only logged, because the deletion is repeated after the next
/// snapshot anyway.
fn delete(what: &'static str, deletion: impl Future<Output = crate::Result<()>> + Send + 'static) {
    task::spawn(what, async move {
        if let Err(error) = deletion.await {
            tracing::warn!(%error, "{what} failed");
        }
    });
}
