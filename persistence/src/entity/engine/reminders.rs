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
//! A replica also keeps those that fire at another replica, without a row, so that all replicas
//! have the same current one: it ends when it fires there with an event, or a day after its time.

mod book;
mod bounds;
mod checking;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Timestamp;

use self::book::{Book, Change, Met, SetWhere, current};
pub(super) use self::book::{Came, Firing};
use super::reactions::{LeftRow, REACTIONS, Reactions};
use crate::entity::DueReminder;
use crate::entity::reminder::Note;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::ReplicationId;
use crate::store::{ReminderRow, SetReminder};

/// Time after its due time for which a row is kept whose event is not known.
const UNBORN_KEPT: Duration = Duration::from_secs(3600);

/// Time for which this life of the entity has known such a row at least, before it is removed: the
/// row of a reminder whose time had passed when it was set is due before its event is stored.
const UNBORN_MET: Duration = Duration::from_secs(30);

/// Most reminders of other replicas that a life remembers after their time has passed for long.
const ELSEWHERE_MAX: usize = 1000;

/// The beginning of the names under which a snapshot keeps the reminders of other replicas.
const ELSEWHERE: &str = "antiphon.elsewhere ";

/// Most such rows whose first times are known; the others wait.
const UNBORN_MAX: usize = 1000;

/// The reminders of an entity. An entity that has none has no memory for them.
#[derive(Debug, Default)]
pub(super) struct Reminders(Option<Box<Book>>);

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

impl Reminders {
    /// Takes the reminders of a snapshot.
    pub(super) fn adopt(&mut self, id: &ReplicationId, reminders: &[SetReminder]) {
        self.0 = None;
        for reminder in reminders {
            if *reminder.name == *REACTIONS {
                let first = SequenceNr::new(reminder.origin_nr);
                let parts = (reminder.every > 0).then_some(reminder.every);
                self.book(id).reactions().reacted_in_part((first, reminder.set_by), parts);
                continue;
            }
            let (mut reminder, book) = (reminder.clone(), self.book(id));
            if let Some(name) = reminder.name.strip_prefix(ELSEWHERE).map(Arc::from) {
                reminder.name = name;
                book.elsewhere.insert((reminder.name.clone(), reminder.set_by));
            }
            book.set.entry(reminder.name.clone()).or_default().push(reminder);
        }
    }

    /// The reminders that are set here, sorted by name.
    pub(super) fn all(&self) -> Vec<SetReminder> {
        let Some(book) = &self.0 else { return Vec::new() };
        let all = book.set.values().flatten().filter(|reminder| !book.is_elsewhere(reminder));
        all.cloned().collect()
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

    /// The last number, up to this one, whose event no reaction of this life needs.
    pub(super) fn deletable(&self, last: SequenceNr) -> SequenceNr {
        let reactions = self.0.as_ref().and_then(|book| book.reactions.as_ref());
        reactions.map_or(last, |reactions| reactions.deletable(last))
    }

    fn book(&mut self, id: &ReplicationId) -> &mut Book {
        self.0.get_or_insert_with(|| Box::new(Book::new(id.persistence_id())))
    }

    /// Takes note of an event that was applied. The notes that can be read count.
    ///
    /// # Errors
    /// The reason why a note of the event cannot be read. No snapshot is taken then, since another
    /// version may read the note in the event.
    pub(super) fn applied(
        &mut self,
        id: &ReplicationId,
        event: &StoredEvent,
        came: Came,
    ) -> Result<(), String> {
        let (notes, unread) = Note::read(event.meta.labels.metadata());
        for note in notes {
            self.book(id).take(id, event, note, came);
        }
        if unread.is_some() {
            self.book(id).has_unread = true;
        }
        self.tidy();
        unread.map_or(Ok(()), Err)
    }

    /// Returns whether an event has notes that this version cannot read.
    pub(super) fn has_unread(&self) -> bool {
        self.0.as_ref().is_some_and(|book| book.has_unread)
    }

    /// Forgets the events above this number: they count as never made.
    pub(super) fn forget_above(&mut self, number: SequenceNr) {
        let Some(book) = &mut self.0 else { return };
        book.changes.retain(|(changed_by, _)| *changed_by <= number);
        book.elsewhere.retain(|(_, set_by)| *set_by <= number);
        book.set.retain(|_, reminders| {
            reminders.retain(|reminder| reminder.set_by <= number);
            !reminders.is_empty()
        });
    }

    /// The rows to be put before the append of the events up to `last` at this time, in order.
    pub(super) fn append(&mut self, time: Timestamp, last: SequenceNr) -> Vec<ReminderRow> {
        let Some(book) = &mut self.0 else { return Vec::new() };
        book.forget_elsewhere(time, ELSEWHERE_MAX);
        let mut put = BTreeSet::new();
        if let Some(reactions) = &mut book.reactions {
            put.extend(reactions.append(&book.id, last));
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
        if row.due > now {
            // the clock of the node that has found the row is ahead
            return Turn::Wait;
        }
        if row.set_by > newest && self.is_unborn(now, row) {
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
        let is_of_row = |it: &&SetReminder| it.set_by == row.set_by && !book.is_elsewhere(it);
        let Some(reminder) = of_row.filter(is_of_row) else {
            book.overtaken(row);
            book.looked.remove(row);
            book.met.remove(row);
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
        let set = (reminder.origin.clone(), reminder.origin_nr);
        let every = reminder.every;
        if book.waits_for_news(now, row) {
            return Turn::Wait;
        }
        match book.looked.get(row) {
            None => {
                book.looked.insert(row.clone(), false);
                Turn::Look
            }
            Some(false) => Turn::Wait,
            Some(true) => {
                let passed = now.as_micros().saturating_sub(due);
                let missed = passed.checked_div(every).unwrap_or(0);
                let next = (every > 0)
                    .then(|| due.saturating_add((missed + 1).saturating_mul(every)))
                    .map(|next| Timestamp::from_micros(next).min(ReminderRow::due_max()));
                book.looked.remove(row);
                book.firing = Some(Firing::Reminder { row: row.clone(), set, next });
                Turn::Fire(DueReminder { name: row.name.clone(), due: row.due, missed })
            }
        }
    }

    /// Returns whether a row waits whose event is not known: it was mostly never stored, but
    /// another node may have put the row, and be about to store the event.
    fn is_unborn(&mut self, now: Timestamp, row: &ReminderRow) -> bool {
        let book = self.0.get_or_insert_with(|| Box::new(Book::new(row.persistence_id.clone())));
        if book.met.len() >= UNBORN_MAX && !book.met.contains_key(row) {
            return true;
        }
        let met = *book.met.entry(row.clone()).or_insert(Met::Unborn(now));
        let (Met::Unborn(since) | Met::LongPast(since)) = met;
        let is_over = now.is_ahead_of(row.due, UNBORN_KEPT) && now.is_ahead_of(since, UNBORN_MET);
        if is_over {
            book.met.remove(row);
            self.tidy();
        }
        !is_over
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
            book.fired_before(row);
            self.tidy();
        }
        false
    }

    /// The reminder whose handler was called, if its effect is the next one.
    #[inline]
    pub(super) fn take_firing(&mut self) -> Option<Firing> {
        self.0.as_mut()?.firing.take()
    }

    /// Returns whether the next effect is that of a reminder or a reaction.
    #[inline]
    pub(super) fn is_firing(&self) -> bool {
        self.0.as_ref().is_some_and(|book| book.firing.is_some())
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
            Firing::Reminder { .. } if has_events => RowChanges::default(),
            Firing::Reminder { row, set, next } => self.fired_silently(row, &set, next),
            // the other parts of the event come next
            Firing::Reaction(range, parts @ Some(_)) => {
                if let Some(reactions) = self.reactions() {
                    reactions.reacted_in_part(range, parts);
                }
                RowChanges::default()
            }
            Firing::Reaction((_, number), None) => {
                let remove = self.reactions().map(|reactions| reactions.done(number));
                RowChanges { put: Vec::new(), remove: remove.unwrap_or_default() }
            }
        }
    }

    fn fired_silently(
        &mut self,
        row: ReminderRow,
        set: &SetWhere,
        next: Option<Timestamp>,
    ) -> RowChanges {
        let mut changes = RowChanges::default();
        if let Some(book) = &mut self.0 {
            let mut ended = Vec::new();
            book.end(&row.name, Some(set), next, &mut ended);
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
        self.0.take_if(|book| book.is_over());
    }
}
