//! The book of an entity that has reminders: those that are set, and the changes of rows that each
//! event makes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Timestamp;

use super::super::queued::push;
use super::super::reactions::Reactions;
use crate::entity::reminder::Note;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{PersistenceId, ReplicaId, ReplicationId};
use crate::store::{ReminderRow, SetReminder};

/// A reminder whose event comes from another replica so long after its time waits for
/// [`LONG_PAST_WAIT`]: a new or an emptied replica reads the whole history, and does not fire what
/// has fired elsewhere.
const LONG_PAST: Duration = Duration::from_secs(24 * 3600);

/// Time for which such a reminder waits for the event that says that it has fired elsewhere.
const LONG_PAST_WAIT: Duration = Duration::from_secs(60);

/// The reminders of an entity that has some.
#[derive(Debug)]
pub(in crate::entity::engine) struct Book {
    pub(super) id: PersistenceId,
    /// By name, those that do not know of each other, of different origins.
    pub(super) set: BTreeMap<Arc<str>, Vec<SetReminder>>,
    /// Those of them that fire at another replica, by name and number: they have no row here, and
    /// may be later than one that has.
    pub(super) elsewhere: BTreeSet<(Arc<str>, SequenceNr)>,
    /// The changes of rows by events that were not handed to an append yet.
    pub(super) changes: VecDeque<(SequenceNr, Change)>,
    /// The rows that are removed when the append under way is durable.
    pub(super) leaving: BTreeSet<ReminderRow>,
    /// The due rows that the entity looks for (false), or has found (true).
    pub(super) looked: BTreeMap<ReminderRow, bool>,
    /// The times at which this life met the rows that wait, and why they do.
    pub(super) met: BTreeMap<ReminderRow, Met>,
    /// The rows of reminders that are looked for after a recovery, and the one under way.
    pub(super) unchecked: VecDeque<ReminderRow>,
    pub(super) checking: Option<ReminderRow>,
    /// The reminder or reaction whose handler was called, and whose effect waits for a future.
    pub(super) firing: Option<Firing>,
    /// The events of other replicas to react to; `None`: the replica does not react.
    pub(super) reactions: Option<Box<Reactions>>,
    /// True when an event has notes that this version cannot read: no snapshot may take its place.
    pub(super) has_unread: bool,
}

#[derive(Debug)]
pub(super) enum Change {
    Put(ReminderRow),
    Gone(ReminderRow),
}

/// The reason why a row waits, and the time since when.
#[derive(Debug, Clone, Copy)]
pub(super) enum Met {
    /// Its event is not known.
    Unborn(Timestamp),
    /// Its event came from another replica long after its time.
    LongPast(Timestamp),
}

/// The way of an event to this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::entity::engine) enum Came {
    /// From the own journal, in a recovery: the rows are as they are.
    Replayed,
    /// From a command.
    Own,
    /// From another replica, at this time.
    Other(Timestamp),
}

/// The replica that wrote the event that set a reminder, and the number among its events: the same
/// everywhere.
pub(in crate::entity::engine) type SetWhere = (ReplicaId, u64);

/// The cause of an effect that is no command.
#[derive(Debug)]
pub(in crate::entity::engine) enum Firing {
    /// A reminder.
    Reminder {
        row: ReminderRow,
        set: SetWhere,
        /// The next time of a periodic one.
        next: Option<Timestamp>,
    },
    /// The event of another replica with the second number; those of others from the first number
    /// on have had their reactions. Of an event that is read as several, so many first parts have
    /// had theirs; `None`: all.
    Reaction((SequenceNr, SequenceNr), Option<u64>),
}

impl Firing {
    /// The note that an event of the handler has.
    pub(in crate::entity::engine) fn note(&self) -> Note {
        match self {
            Self::Reminder { row, set, next } => Note::Fired {
                name: row.name.clone(),
                next: next.map(Timestamp::as_micros),
                set: Some(set.clone()),
            },
            Self::Reaction((from, to), parts) => {
                Note::Reacted { from: from.value(), to: to.value(), parts: *parts }
            }
        }
    }
}

impl Book {
    pub(super) fn new(id: PersistenceId) -> Self {
        Self {
            id,
            set: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
            changes: VecDeque::new(),
            leaving: BTreeSet::new(),
            looked: BTreeMap::new(),
            met: BTreeMap::new(),
            unchecked: VecDeque::new(),
            checking: None,
            firing: None,
            reactions: None,
            has_unread: false,
        }
    }

    /// Returns whether nothing is set and nothing is under way.
    pub(super) fn is_over(&self) -> bool {
        self.set.is_empty()
            && self.changes.is_empty()
            && self.leaving.is_empty()
            && self.looked.is_empty()
            && self.met.is_empty()
            && self.checking.is_none()
            && self.firing.is_none()
            && self.reactions.is_none()
            && !self.has_unread
    }

    pub(super) fn reactions(&mut self) -> &mut Reactions {
        self.reactions.get_or_insert_default()
    }

    pub(super) fn row(&self, reminder: &SetReminder) -> ReminderRow {
        ReminderRow {
            due: reminder.due,
            persistence_id: self.id.clone(),
            name: reminder.name.clone(),
            set_by: reminder.set_by,
        }
    }

    /// Takes a note of an event.
    pub(super) fn take(&mut self, id: &ReplicationId, event: &StoredEvent, note: Note, came: Came) {
        let (number, meta) = (event.sequence_nr, &event.meta);
        let is_own = meta.origin == *id.replica_id();
        let mut changes = Vec::new();
        match note {
            Note::Cancel { name } => self.end_known(&name, event, &mut changes),
            Note::Fired { name, next, set } if is_own => {
                let next =
                    next.map(|next| Timestamp::from_micros(next).min(ReminderRow::due_max()));
                self.end(&name, set.as_ref(), next, &mut changes);
            }
            Note::Fired { name, set: Some(set), next } => {
                self.fired_elsewhere(&name, &set, next, &mut changes);
            }
            Note::Reacted { from, to, parts } if is_own => {
                let to = to.min(number.value());
                let range = (SequenceNr::new(from.min(to)), SequenceNr::new(to));
                self.reactions().reacted_in_part(range, parts);
            }
            Note::Fired { .. } | Note::Reacted { .. } => {}
            Note::Set { name, due, every, replica } => {
                self.end_known(&name, event, &mut changes);
                let reminder = SetReminder {
                    name,
                    due: Timestamp::from_micros(due).min(ReminderRow::due_max()),
                    every: every.unwrap_or(0),
                    set_by: number,
                    origin: meta.origin.clone(),
                    origin_nr: meta.origin_nr(),
                    set_at: meta.timestamp,
                };
                let is_here = replica.is_none_or(|replica| replica == *id.replica_id());
                self.put(reminder, is_here, came, &mut changes);
            }
        }
        if came != Came::Replayed {
            changes.into_iter().for_each(|change| push(&mut self.changes, (number, change)));
        }
    }

    /// Adds a reminder, which fires here or elsewhere.
    fn put(&mut self, reminder: SetReminder, is_here: bool, came: Came, changes: &mut Vec<Change>) {
        let row = self.row(&reminder);
        if !is_here {
            self.elsewhere.insert((reminder.name.clone(), reminder.set_by));
        } else if let Came::Other(now) = came
            && now.is_ahead_of(row.due, LONG_PAST)
            && reminder.every == 0
        {
            self.met.insert(row.clone(), Met::LongPast(now));
        }
        if is_here {
            changes.push(Change::Put(row));
        }
        self.set.entry(reminder.name.clone()).or_default().push(reminder);
    }

    /// Returns whether a reminder fires at another replica.
    pub(super) fn is_elsewhere(&self, reminder: &SetReminder) -> bool {
        !self.elsewhere.is_empty()
            && self.elsewhere.contains(&(reminder.name.clone(), reminder.set_by))
    }

    /// Forgets the reminders that fire once, at another replica, and whose time has passed for
    /// long: no event says when one has fired without an event. While few are known, none is
    /// forgotten but after a recovery.
    pub(super) fn forget_elsewhere(&mut self, now: Timestamp, most: usize) {
        if self.elsewhere.len() <= most {
            return;
        }
        let elsewhere = &mut self.elsewhere;
        self.set.retain(|name, reminders| {
            reminders.retain(|reminder| {
                let is_over = reminder.every == 0 && now.is_ahead_of(reminder.due, LONG_PAST);
                !(is_over && elsewhere.remove(&(name.clone(), reminder.set_by)))
            });
            !reminders.is_empty()
        });
    }

    /// Ends the reminder that has fired at another replica, if it fires there only, or if its event
    /// came long after its time.
    fn fired_elsewhere(
        &mut self,
        name: &str,
        set: &SetWhere,
        next: Option<u64>,
        changes: &mut Vec<Change>,
    ) {
        let of = self.set.get(name).and_then(|reminders| set_where(reminders, set));
        let Some(fired) = of.cloned() else { return };
        let row = self.row(&fired);
        if self.is_elsewhere(&fired) {
            // those that it has overtaken do not fire any more
            let is_last = next.is_none();
            let is_over =
                |one: &SetReminder| age(one) < age(&fired) || (is_last && age(one) == age(&fired));
            self.remove(name, is_over, changes);
        } else if next.is_none() && matches!(self.met.get(&row), Some(Met::LongPast(_))) {
            self.remove(name, |reminder| reminder.set_by == row.set_by, changes);
        }
    }

    /// Returns whether a due row waits at this time for the news that it has fired elsewhere.
    pub(super) fn waits_for_news(&mut self, now: Timestamp, row: &ReminderRow) -> bool {
        match self.met.get(row) {
            Some(Met::LongPast(since)) if !now.is_ahead_of(*since, LONG_PAST_WAIT) => true,
            Some(_) => {
                self.met.remove(row);
                false
            }
            None => false,
        }
    }

    /// Ends the reminders of a name that the event knows.
    fn end_known(&mut self, name: &str, event: &StoredEvent, changes: &mut Vec<Change>) {
        let version = &event.meta.version;
        let is_known = |reminder: &SetReminder| reminder.origin_nr <= version.get(&reminder.origin);
        self.remove(name, is_known, changes);
    }

    /// Ends the reminder that has fired, or moves it to its next time. Those under its name that it
    /// has overtaken end with it; a later one, which came while its handler waited, stays. `set` is
    /// `None` in events of the first builds: the current one has fired.
    pub(super) fn end(
        &mut self,
        name: &str,
        set: Option<&SetWhere>,
        next: Option<Timestamp>,
        changes: &mut Vec<Change>,
    ) {
        let fired = self.set.get(name).and_then(|reminders| match set {
            Some(set) => set_where(reminders, set),
            None => current(reminders),
        });
        let Some(fired) = fired.cloned() else { return };
        match next {
            None => self.remove(name, |reminder| age(reminder) <= age(&fired), changes),
            Some(next) if fired.every > 0 => {
                self.remove(name, |reminder| age(reminder) < age(&fired), changes);
                let again = SetReminder { due: next, ..fired.clone() };
                changes.push(Change::Put(self.row(&again)));
                changes.push(Change::Gone(self.row(&fired)));
                let reminders = self.set.entry(again.name.clone()).or_default();
                reminders.retain(|reminder| reminder.set_by != again.set_by);
                reminders.push(again);
            }
            Some(_) => {}
        }
    }

    pub(super) fn remove(
        &mut self,
        name: &str,
        is_over: impl Fn(&SetReminder) -> bool,
        changes: &mut Vec<Change>,
    ) {
        let Some(reminders) = self.set.get_mut(name) else { return };
        let (over, left): (Vec<_>, Vec<_>) =
            std::mem::take(reminders).into_iter().partition(is_over);
        for reminder in &over {
            if self.elsewhere.remove(&(reminder.name.clone(), reminder.set_by)) {
                continue;
            }
            let row = self.row(reminder);
            self.met.remove(&row);
            changes.push(Change::Gone(row));
        }
        if left.is_empty() {
            self.set.remove(name);
        } else {
            self.set.insert(name.into(), left);
        }
    }

    /// Forgets the reminder of a row that is not there any more, and with it those that it has
    /// overtaken: it has fired in an earlier life. Their rows are removed when they are due.
    pub(super) fn fired_before(&mut self, row: &ReminderRow) {
        let is_of_row =
            |one: &&SetReminder| one.set_by == row.set_by && one.due == row.due && one.every == 0;
        let of = self.set.get(&row.name).and_then(|reminders| reminders.iter().find(is_of_row));
        if let Some(fired) = of.cloned() {
            self.remove(&row.name, |one| age(one) <= age(&fired), &mut Vec::new());
        }
    }

    /// Forgets the reminder of a row that does not fire, since another one of its name is the
    /// current one. A periodic one goes on.
    pub(super) fn overtaken(&mut self, row: &ReminderRow) {
        let is_over = |reminder: &SetReminder| {
            reminder.set_by == row.set_by && reminder.due == row.due && reminder.every == 0
        };
        self.remove(&row.name, is_over, &mut Vec::new());
    }
}

/// The reminder that fires, of those under one name: the one of the latest event.
pub(super) fn current(reminders: &[SetReminder]) -> Option<&SetReminder> {
    reminders.iter().max_by_key(|reminder| age(reminder))
}

fn age(reminder: &SetReminder) -> (Timestamp, &ReplicaId, u64) {
    (reminder.set_at, &reminder.origin, reminder.origin_nr)
}

fn set_where<'a>(
    reminders: &'a [SetReminder],
    (origin, number): &SetWhere,
) -> Option<&'a SetReminder> {
    reminders.iter().find(|reminder| reminder.origin == *origin && reminder.origin_nr == *number)
}
