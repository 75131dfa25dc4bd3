//! The reminders of an entity: which are set, which are due, and which rows the store has for them.
//!
//! ```text
//!         its event            its row is due           its row is there         its turn
//!  (none) ---------> set, row --------------> looked for ----------------> found --------> fires
//!            ^         |   row is gone: forgotten  |                                |
//!            |         +-- replaced, cancelled: the row is removed                  |
//!            +----- fired (once: the row is removed; periodic: the next row is put) +
//! ```
//!
//! The events are the truth, and the rows an index by time. A row is put before the append of the
//! event that sets it, and removed after the append of the event that ends it, so a durable
//! reminder always has its row, and a row may be left without a reminder: it is removed when it is
//! due. Of the events of one append only the last of a name counts.
//!
//! Events of two replicas that do not know of each other can set one name: both are kept, and the
//! later one, by the time of its event, is the *current* one. An event ends those that it knows.

mod bounds;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Timestamp;

use super::queued::push;
use super::reactions::{LeftRow, REACTIONS, Reactions};
use crate::entity::DueReminder;
use crate::entity::reminder::Note;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{PersistenceId, ReplicationId};
use crate::store::{ReminderRow, SetReminder};

/// Time for which a due row is kept whose event is not known: its event was mostly never stored,
/// but another node may have put the row, and be about to store the event. Longer than any such
/// doubt about the home of an entity lasts.
const UNBORN_KEPT: Duration = Duration::from_secs(3600);

/// The reminders of an entity. An entity that has none has no memory for them.
#[derive(Debug, Default)]
pub(super) struct Reminders(Option<Box<Book>>);

#[derive(Debug)]
struct Book {
    id: PersistenceId,
    /// By name, those that do not know of each other, of different origins.
    set: BTreeMap<Arc<str>, Vec<SetReminder>>,
    /// The changes of rows by events that were not handed to an append yet.
    changes: VecDeque<(SequenceNr, Change)>,
    /// The rows that are removed when the append under way is durable.
    leaving: BTreeSet<ReminderRow>,
    /// The due rows that the entity looks for (false), or has found (true).
    looked: BTreeMap<ReminderRow, bool>,
    /// The reminder or reaction whose handler was called, and whose effect waits for a future.
    firing: Option<Firing>,
    /// The events of other replicas to react to; `None`: the replica does not react.
    reactions: Option<Box<Reactions>>,
}

#[derive(Debug)]
enum Change {
    Put(ReminderRow),
    Gone(ReminderRow),
}

/// Rows to be put, and then rows to be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowChanges {
    /// The rows to be put.
    pub put: Vec<ReminderRow>,
    /// The rows to be removed when all of `put` are durable.
    pub remove: Vec<ReminderRow>,
}

/// The way of a due row whose turn has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The store must say whether the row is there.
    Look,
    /// The entity looks for the row already, or does not know its event yet.
    Wait,
    /// The handler is called.
    Fire(DueReminder),
    /// No event of the entity has a reminder for the row: it is removed.
    Stale(RowChanges),
}

/// The cause of an effect that is no command.
#[derive(Debug)]
pub(super) enum Firing {
    /// A reminder, with the next time of a periodic one.
    Reminder(ReminderRow, Option<Timestamp>),
    /// The event of another replica with the second number; those of others from the first number
    /// on have had their reactions.
    Reaction((SequenceNr, SequenceNr)),
}

impl Firing {
    /// The note that an event of the handler has.
    pub(super) fn note(&self) -> Note {
        match self {
            Self::Reminder(row, next) => {
                Note::Fired { name: row.name.clone(), next: next.map(Timestamp::as_micros) }
            }
            Self::Reaction((from, to)) => Note::Reacted { from: from.value(), to: to.value() },
        }
    }
}

impl Reminders {
    /// Takes the reminders of a snapshot.
    pub(super) fn adopt(&mut self, id: &ReplicationId, reminders: &[SetReminder]) {
        self.0 = None;
        for reminder in reminders {
            if *reminder.name == *REACTIONS {
                let first = SequenceNr::new(reminder.origin_nr);
                self.book(id).reactions().reacted((first, reminder.set_by));
                continue;
            }
            let set = &mut self.book(id).set;
            set.entry(reminder.name.clone()).or_default().push(reminder.clone());
        }
    }

    /// The reminders that are set, sorted by name.
    pub(super) fn all(&self) -> Vec<SetReminder> {
        self.0.iter().flat_map(|book| book.set.values().flatten()).cloned().collect()
    }

    /// Begins a life after the event `newest`, in which the replica reacts, or not.
    pub(super) fn begin(&mut self, id: &ReplicationId, newest: SequenceNr, reacts: bool) {
        if reacts {
            self.book(id).reactions().begin(newest);
        } else if let Some(book) = &mut self.0 {
            book.reactions = None;
            self.tidy();
        }
    }

    /// The reactions, if the replica reacts.
    #[inline]
    pub(super) fn reactions(&mut self) -> Option<&mut Reactions> {
        self.0.as_mut()?.reactions.as_deref_mut()
    }

    fn book(&mut self, id: &ReplicationId) -> &mut Book {
        self.0.get_or_insert_with(|| {
            Box::new(Book {
                id: id.persistence_id(),
                set: BTreeMap::new(),
                changes: VecDeque::new(),
                leaving: BTreeSet::new(),
                looked: BTreeMap::new(),
                firing: None,
                reactions: None,
            })
        })
    }

    /// Takes note of an event that was applied. The rows of a `replayed` event are as they are.
    ///
    /// # Errors
    /// The reason why the notes of the event cannot be read.
    pub(super) fn applied(
        &mut self,
        id: &ReplicationId,
        event: &StoredEvent,
        replayed: bool,
    ) -> Result<(), String> {
        for note in Note::read(event.meta.labels.metadata())? {
            let book = self.book(id);
            book.take(id, event, note);
            if replayed {
                book.changes.clear();
            }
        }
        self.tidy();
        Ok(())
    }

    /// Forgets the events above this number: they count as never made.
    pub(super) fn forget_above(&mut self, number: SequenceNr) {
        let Some(book) = &mut self.0 else { return };
        book.changes.retain(|(changed_by, _)| *changed_by <= number);
        book.set.retain(|_, reminders| {
            reminders.retain(|reminder| reminder.set_by <= number);
            !reminders.is_empty()
        });
    }

    /// The rows to be put before the append of the events up to `last` at this time, in order.
    pub(super) fn append(&mut self, time: Timestamp, last: SequenceNr) -> Vec<ReminderRow> {
        let Some(book) = &mut self.0 else { return Vec::new() };
        let mut put = BTreeSet::new();
        if let Some(reactions) = &mut book.reactions {
            put.extend(reactions.append(&book.id, time, last));
        }
        while let Some((number, _)) = book.changes.front()
            && *number <= last
        {
            match book.changes.pop_front().expect("just seen").1 {
                Change::Put(row) => {
                    book.leaving.remove(&row);
                    put.insert(row);
                }
                Change::Gone(row) => {
                    if !put.remove(&row) {
                        book.leaving.insert(row);
                    }
                }
            }
        }
        put.into_iter().collect()
    }

    /// The rows to be removed after an append that is durable.
    pub(super) fn appended(&mut self) -> Option<RowChanges> {
        let book = self.0.as_mut().filter(|book| !book.leaving.is_empty())?;
        let remove = std::mem::take(&mut book.leaving).into_iter().collect();
        self.tidy();
        Some(RowChanges { put: Vec::new(), remove })
    }

    /// Decides about a row that is due at this entity, whose newest event has this number.
    pub(super) fn turn(&mut self, now: Timestamp, newest: SequenceNr, row: &ReminderRow) -> Turn {
        if row.set_by > newest && !now.is_ahead_of(row.due, UNBORN_KEPT) {
            // its event was not stored, or another node has just stored it, unknown to this one
            return Turn::Wait;
        }
        let gone = || Turn::Stale(RowChanges { put: Vec::new(), remove: vec![row.clone()] });
        let Some(book) = self.0.as_mut() else { return gone() };
        if *row.name == *REACTIONS {
            return match book.reactions.as_mut().map(|reactions| reactions.due(row)) {
                None | Some(LeftRow::Over) => gone(),
                Some(LeftRow::Known | LeftRow::Read) => Turn::Wait,
            };
        }
        let of_row = book.set.get(&row.name).and_then(|reminders| current(reminders));
        let Some(reminder) = of_row.filter(|reminder| reminder.set_by == row.set_by) else {
            book.overtaken(row);
            self.tidy();
            return gone();
        };
        let (due, set) = (row.due.as_micros(), reminder.due.as_micros());
        let is_period = reminder.every > 0 && due.abs_diff(set).is_multiple_of(reminder.every);
        if due < set && is_period {
            // the row of an earlier time was left, or the row of the next time was not put
            let current = book.row(reminder);
            return Turn::Stale(RowChanges { put: vec![current], remove: vec![row.clone()] });
        }
        if due != set && !is_period {
            return gone();
        }
        match book.looked.get(row) {
            None => {
                book.looked.insert(row.clone(), false);
                Turn::Look
            }
            Some(false) => Turn::Wait,
            Some(true) => {
                let passed = now.as_micros().saturating_sub(due);
                let missed = passed.checked_div(reminder.every).unwrap_or(0);
                let next = (reminder.every > 0)
                    .then(|| due.saturating_add((missed + 1).saturating_mul(reminder.every)))
                    .map(|next| Timestamp::from_micros(next).min(ReminderRow::due_max()));
                book.looked.remove(row);
                book.firing = Some(Firing::Reminder(row.clone(), next));
                Turn::Fire(DueReminder { name: row.name.clone(), due: row.due, missed })
            }
        }
    }

    /// Takes the answer of the store whether a row is there. Returns whether its turn comes. A
    /// reminder whose row is not there has fired in an earlier life.
    pub(super) fn found(&mut self, row: &ReminderRow, is_there: Option<bool>) -> bool {
        let Some(book) = &mut self.0 else { return false };
        let Some(found) = book.looked.get_mut(row) else { return false };
        if is_there == Some(true) {
            *found = true;
            return true;
        }
        book.looked.remove(row);
        if is_there == Some(false) {
            book.overtaken(row);
            self.tidy();
        }
        false
    }

    /// The reminder whose handler was called, if its effect is the next one.
    #[inline]
    pub(super) fn take_firing(&mut self) -> Option<Firing> {
        self.0.as_mut()?.firing.take()
    }

    /// Notes the cause of the next effect.
    pub(super) fn goes_on(&mut self, firing: Firing) {
        if let Some(book) = &mut self.0 {
            book.firing = Some(firing);
        }
    }

    /// Takes note of the effect of a reminder or a reaction, which has events or not. Returns the
    /// changes of rows, which wait until everything before is durable.
    pub(super) fn fired(&mut self, firing: Firing, has_events: bool) -> RowChanges {
        match firing {
            // the event that was stored says that the reminder has fired
            Firing::Reminder(..) if has_events => RowChanges::default(),
            Firing::Reminder(row, next) => self.fired_silently(row, next),
            Firing::Reaction((_, number)) => {
                let remove = self.reactions().map(|reactions| reactions.done(number));
                RowChanges { put: Vec::new(), remove: remove.unwrap_or_default() }
            }
        }
    }

    fn fired_silently(&mut self, row: ReminderRow, next: Option<Timestamp>) -> RowChanges {
        let mut changes = RowChanges::default();
        if let Some(book) = &mut self.0 {
            let mut ended = Vec::new();
            book.end(&row.name, next, &mut ended);
            for change in ended {
                match change {
                    Change::Put(row) => changes.put.push(row),
                    Change::Gone(row) => changes.remove.push(row),
                }
            }
        }
        if !changes.remove.contains(&row) {
            changes.remove.push(row);
        }
        self.tidy();
        changes
    }

    /// Gives the memory back when nothing is set and nothing is under way.
    fn tidy(&mut self) {
        self.0.take_if(|book| {
            book.set.is_empty()
                && book.changes.is_empty()
                && book.leaving.is_empty()
                && book.looked.is_empty()
                && book.firing.is_none()
                && book.reactions.is_none()
        });
    }
}

impl Book {
    fn reactions(&mut self) -> &mut Reactions {
        self.reactions.get_or_insert_default()
    }

    fn row(&self, reminder: &SetReminder) -> ReminderRow {
        ReminderRow {
            due: reminder.due,
            persistence_id: self.id.clone(),
            name: reminder.name.clone(),
            set_by: reminder.set_by,
        }
    }

    fn take(&mut self, id: &ReplicationId, event: &StoredEvent, note: Note) {
        let (number, meta) = (event.sequence_nr, &event.meta);
        let mut changes = Vec::new();
        match note {
            Note::Cancel { name } => self.end_known(&name, event, &mut changes),
            Note::Fired { name, next } if meta.origin == *id.replica_id() => {
                let next =
                    next.map(|next| Timestamp::from_micros(next).min(ReminderRow::due_max()));
                self.end(&name, next, &mut changes);
            }
            Note::Reacted { from, to } if meta.origin == *id.replica_id() => {
                let to = to.min(number.value());
                let range = (SequenceNr::new(from.min(to)), SequenceNr::new(to));
                self.reactions().reacted(range);
            }
            Note::Fired { .. } | Note::Reacted { .. } => {}
            Note::Set { name, due, every, replica } => {
                self.end_known(&name, event, &mut changes);
                if replica.is_none_or(|replica| replica == *id.replica_id()) {
                    let reminder = SetReminder {
                        name: name.clone(),
                        due: Timestamp::from_micros(due).min(ReminderRow::due_max()),
                        every: every.unwrap_or(0),
                        set_by: number,
                        origin: meta.origin.clone(),
                        origin_nr: meta.origin_nr(),
                        set_at: meta.timestamp,
                    };
                    changes.push(Change::Put(self.row(&reminder)));
                    self.set.entry(name).or_default().push(reminder);
                }
            }
        }
        changes.into_iter().for_each(|change| push(&mut self.changes, (number, change)));
    }

    /// Ends the reminders of a name that the event knows.
    fn end_known(&mut self, name: &str, event: &StoredEvent, changes: &mut Vec<Change>) {
        let version = &event.meta.version;
        let is_known = |reminder: &SetReminder| reminder.origin_nr <= version.get(&reminder.origin);
        self.remove(name, is_known, changes);
    }

    /// Ends the current reminder of a name, which has fired, or moves it to its next time. Those
    /// that it has overtaken end with it.
    fn end(&mut self, name: &str, next: Option<Timestamp>, changes: &mut Vec<Change>) {
        let Some(fired) = self.set.get(name).and_then(|reminders| current(reminders)) else {
            return;
        };
        let (fired, gone) = (fired.clone(), self.row(fired));
        match next {
            None => self.remove(name, |_| true, changes),
            Some(next) if fired.every > 0 => {
                self.remove(name, |reminder| reminder.origin != fired.origin, changes);
                let again = SetReminder { due: next, ..fired };
                changes.push(Change::Put(self.row(&again)));
                changes.push(Change::Gone(gone));
                self.set.insert(again.name.clone(), vec![again]);
            }
            Some(_) => {}
        }
    }

    fn remove(
        &mut self,
        name: &str,
        is_over: impl Fn(&SetReminder) -> bool,
        changes: &mut Vec<Change>,
    ) {
        let Some(reminders) = self.set.get_mut(name) else { return };
        let (over, left): (Vec<_>, Vec<_>) =
            std::mem::take(reminders).into_iter().partition(is_over);
        changes.extend(over.iter().map(|reminder| Change::Gone(self.row(reminder))));
        if left.is_empty() {
            self.set.remove(name);
        } else {
            self.set.insert(name.into(), left);
        }
    }

    /// Forgets the reminder of a row that does not fire: another one of its name is the current
    /// one, or the row is not there any more. A periodic one goes on.
    fn overtaken(&mut self, row: &ReminderRow) {
        let is_over = |reminder: &SetReminder| {
            reminder.set_by == row.set_by && reminder.due == row.due && reminder.every == 0
        };
        self.remove(&row.name, is_over, &mut Vec::new());
    }
}

/// The reminder that fires, of those under one name.
fn current(reminders: &[SetReminder]) -> Option<&SetReminder> {
    reminders.iter().max_by(|one, other| {
        (one.set_at, &one.origin, one.origin_nr).cmp(&(
            other.set_at,
            &other.origin,
            other.origin_nr,
        ))
    })
}
