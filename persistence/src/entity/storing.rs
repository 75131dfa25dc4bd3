//! The actions of an entity's engine that read or write a store. Their results come back as inputs.

use std::sync::Arc;

use antiphon_base::task;
use ractor::ActorRef;

use super::engine::{Action, Generation, Input, RowChanges};
use super::message::{EntityMessage, send_input, start};
use super::parts::Inner;
use super::skip::SkippedEvent;
use super::writing::{append_with_shapes, put_before_append, save_and_read_back, void};
use super::{EntityCounters, EventSourced, Writes};
use crate::event::SequenceNr;
use crate::identity::{ReplicaId, ReplicationId};
use crate::store::{Append, ReminderRow, Snapshot};

/// The stores of one entity, with what its reads and writes need.
pub(super) struct EntityIo<E: EventSourced> {
    pub(super) id: ReplicationId,
    pub(super) writes: Arc<Writes>,
    pub(super) runtime: Arc<Inner<E>>,
}

impl<E: EventSourced> EntityIo<E> {
    /// Starts an action that reads or writes a store.
    pub(super) fn store(&self, myself: &ActorRef<EntityMessage<E>>, action: Action<E>) {
        let (parts, id) = (&self.runtime.parts, self.id.persistence_id());
        let (journal, snapshots) = (parts.journal.clone(), parts.snapshots.clone());
        match action {
            Action::LoadSnapshot(generation, last) => {
                start("load snapshot", myself, async move {
                    let loaded = snapshots.latest_snapshot(&id, last).await;
                    Input::SnapshotLoaded(generation, loaded.map(|found| found.map(Box::new)))
                });
            }
            Action::Replay(generation, first) => {
                let count_max = self.runtime.settings.replay_events_max;
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
            Action::Append(generation, append, rows) => {
                self.start_append(myself, generation, append, rows);
            }
            Action::ReadReactions(generation, first) => {
                self.read_reactions(myself, generation, first)
            }
            Action::FindReminder(generation, row) => self.find_reminder(myself, generation, row),
            Action::ChangeReminders(changes) => self.change_reminders(*changes),
            Action::Pull(generation, replica, after) => {
                self.start_pull(myself, generation, replica, after);
            }
            Action::SaveSnapshot(generation, snapshot) => {
                self.save_snapshot(myself, generation, snapshot);
            }
            Action::VoidSnapshots(generation, numbers) => {
                // an entity that was killed a moment ago voids nothing: its shard may live, and
                // store, elsewhere by now
                let Some(write) = self.writes.begin() else { return };
                start("void snapshots", myself, async move {
                    let voided = void(&*snapshots, &id, &numbers).await;
                    drop(write);
                    Input::SnapshotsVoided(generation, voided)
                });
            }
            Action::DeleteSnapshots(generation, last) => {
                self.delete_snapshots(myself, generation, last);
            }
            Action::DeleteEvents(generation, last) => self.delete_events(myself, generation, last),
            Action::RequestPermit(_)
            | Action::ReleasePermit
            | Action::Release(_)
            | Action::Durable(_)
            | Action::Publish(_)
            | Action::Received(_)
            | Action::CaughtUp(..)
            | Action::Held(..)
            | Action::AskSkip(..)
            | Action::RunAsynchronous(..)
            | Action::RunBeside(..)
            | Action::DropAsynchronous
            | Action::WakeAfter(_)
            | Action::WakeForTimers(_)
            | Action::GoOn
            | Action::Passivate
            | Action::WentBack
            | Action::Forked(_)
            | Action::Reclaimed
            | Action::Fenced(_)
            | Action::Stopped(_) => unreachable!("`run` passes on the actions of the stores only"),
        }
    }

    fn save_snapshot(
        &self,
        myself: &ActorRef<EntityMessage<E>>,
        generation: Generation,
        snapshot: Box<Snapshot>,
    ) {
        let (snapshots, id) = (self.runtime.parts.snapshots.clone(), self.id.persistence_id());
        let shapes = self.runtime.shapes_of_states();
        // a late save could replace a snapshot that the next incarnation has voided, and bring a
        // state of lost history back: so it is fenced and waited for as an append is
        let Some(write) = self.writes.begin() else { return };
        start("save snapshot", myself, async move {
            let saved = save_and_read_back(&*snapshots, shapes, &id, &snapshot).await;
            drop(write);
            let number = snapshot.sequence_nr;
            Input::SnapshotSaved(generation, number, saved.map(|()| snapshot.metadata))
        });
    }

    fn read_reactions(
        &self,
        myself: &ActorRef<EntityMessage<E>>,
        generation: Generation,
        first: SequenceNr,
    ) {
        let (journal, id) = (self.runtime.parts.journal.clone(), self.id.persistence_id());
        let count_max = self.runtime.settings.replay_events_max;
        start("read reactions", myself, async move {
            let page = journal.replay_page(&id, first, SequenceNr::MAX, count_max).await;
            Input::ReactionsRead(generation, page)
        });
    }

    fn find_reminder(
        &self,
        myself: &ActorRef<EntityMessage<E>>,
        generation: Generation,
        row: Box<ReminderRow>,
    ) {
        let reminders = self.runtime.parts.reminders.clone();
        start("find reminder", myself, async move {
            let is_there = reminders.contains(&row).await;
            Input::ReminderFound(generation, row, is_there)
        });
    }

    fn delete_snapshots(
        &self,
        myself: &ActorRef<EntityMessage<E>>,
        generation: Generation,
        last: SequenceNr,
    ) {
        let (snapshots, id) = (self.runtime.parts.snapshots.clone(), self.id.persistence_id());
        start("delete snapshots", myself, async move {
            let deleted = snapshots.delete_snapshots_to(&id, last).await;
            Input::SnapshotsDeleted(generation, last, logged("snapshots", deleted))
        });
    }

    fn delete_events(
        &self,
        myself: &ActorRef<EntityMessage<E>>,
        generation: Generation,
        last: SequenceNr,
    ) {
        let (journal, id) = (self.runtime.parts.journal.clone(), self.id.persistence_id());
        start("delete events", myself, async move {
            let deleted = journal.delete_to(&id, last).await;
            Input::EventsDeleted(generation, last, logged("events", deleted))
        });
    }

    fn start_pull(
        &self,
        myself: &ActorRef<EntityMessage<E>>,
        generation: Generation,
        replica: ReplicaId,
        after: SequenceNr,
    ) {
        let count_max = self.runtime.settings.pull_events_max;
        let other = self.id.with_replica(replica.clone()).persistence_id();
        let journal = self.runtime.parts.peers.get(&replica).cloned();
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

    fn start_append(
        &self,
        myself: &ActorRef<EntityMessage<E>>,
        generation: Generation,
        append: Append,
        rows: Vec<ReminderRow>,
    ) {
        let parts = &self.runtime.parts;
        let (journal, writer) = (parts.journal.clone(), parts.writer.clone());
        let me = self.id.replica_id().clone();
        let shapes = self.runtime.shapes_of_events(&append.events).map(|shapes| (shapes, me));
        // an entity that was killed a moment ago writes nothing: its shard may live elsewhere by
        // now
        let Some(write) = self.writes.begin() else { return };
        let reminders = (!rows.is_empty()).then(|| parts.reminders.clone());
        let counters = self.runtime.counters.clone();
        start("append", myself, async move {
            if let Some(reminders) = reminders
                && let Err(error) = put_before_append(&*reminders, &rows).await
            {
                EntityCounters::add(&counters.reminders_unstored, rows.len());
                drop(write);
                return Input::Appended(generation, Err(error));
            }
            let appended = append_with_shapes(&*journal, &writer, shapes, append).await;
            drop(write);
            Input::Appended(generation, appended)
        });
    }

    /// Puts and removes rows of reminders. A failure is mended when the rows that are left are due.
    /// A node that may not answer changes no row: the entity may live elsewhere, with newer events.
    fn change_reminders(&self, RowChanges { put, remove }: RowChanges) {
        if !self.runtime.parts.host.may_release() {
            let count = put.len() + remove.len();
            return EntityCounters::add(&self.runtime.counters.reminders_unstored, count);
        }
        // the next incarnation of the entity finds the rows changed
        let Some(write) = self.writes.begin() else { return };
        let (reminders, counters) =
            (self.runtime.parts.reminders.clone(), self.runtime.counters.clone());
        let id = self.id.clone();
        task::spawn("change reminders", async move {
            let changed = async {
                if !put.is_empty() {
                    reminders.put(&put).await?;
                }
                reminders.remove(&remove).await
            };
            if let Err(error) = changed.await {
                EntityCounters::add(&counters.reminders_unstored, put.len() + remove.len());
                tracing::debug!(%id, %error, "the rows of reminders are not changed");
            }
            drop(write);
        });
    }

    /// Asks for the record of an operator that the event is to be skipped. Sends `Skip` only when
    /// there is one; the question is repeated with each attempt.
    pub(super) fn ask_skip(
        &self,
        myself: &ActorRef<EntityMessage<E>>,
        generation: Generation,
        origin: ReplicaId,
        number: u64,
    ) {
        let Some(coordination) = self.runtime.parts.coordination.clone() else { return };
        let (id, myself) = (self.id.clone(), myself.clone());
        task::spawn("ask for skips", async move {
            let event = SkippedEvent { id, origin: origin.clone(), number };
            match event.is_recorded(&*coordination).await {
                Ok(false) => {}
                Ok(true) => {
                    let skip = Input::Skip(generation, origin, number);
                    send_input(&myself, skip);
                }
                Err(error) => tracing::debug!(%error, "the skipped events cannot be read"),
            }
        });
    }
}

/// Logs the failure of a deletion, which is repeated after the next snapshot.
fn logged(what: &str, deleted: crate::Result<()>) -> crate::Result<()> {
    deleted.inspect_err(|error| tracing::warn!(%error, "{what} are not deleted"))
}
