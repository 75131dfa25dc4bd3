//! The reminders of ledgers: the orders of clients, and the reminders that the events of a ledger
//! leave set. The causes of the events say which order replaces which, not the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_base::time::Timestamp;
use antiphon_persistence::entity::{DueReminder, Effect, Reminder};
use antiphon_persistence::identity::ReplicaId;
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;

/// The kinds of handlers, by the first letter of a reminder's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handler {
    /// Stores nothing.
    Silent,
    /// Stores an event.
    Storing,
    /// Waits for a future, whose command stores an event.
    Later,
}

impl Handler {
    pub(crate) fn of(name: &str) -> Self {
        match name.as_bytes().first() {
            Some(b'e') => Self::Storing,
            Some(b'l') => Self::Later,
            Some(_) | None => Self::Silent,
        }
    }
}

/// An order of a client. Times are in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Set the reminder, due after this time by the time of the event, or by the wall clock (true)
    /// of the node; with a period or once; at one replica or at each.
    Set {
        name: String,
        after: u64,
        by_wall: bool,
        every: Option<u64>,
        at: Option<ReplicaId>,
    },
    Cancel {
        name: String,
    },
}

impl Order {
    /// The order that these random bits say.
    pub(crate) fn drawn(bits: u64, replicas: &[ReplicaId]) -> Self {
        let kind = (bits >> 2) % 8;
        let prefix = if kind == 1 { "s" } else { ["s", "e", "l"][at(bits >> 5, 3)] };
        let name = format!("{prefix}-{}", (bits >> 7) % 2);
        if kind == 0 {
            return Self::Cancel { name };
        }
        let of = (bits >> 20)
            .is_multiple_of(4)
            .then(|| replicas[at(bits >> 22, replicas.len())].clone());
        let every = (kind == 1).then_some(1000 + (bits >> 14) % 2000);
        let (after, by_wall) = ((bits >> 8) % 4096, (bits >> 26).is_multiple_of(2));
        Self::Set { name, after, by_wall, every, at: of }
    }

    /// The change that the event of the order tells, at this time of the event and of the wall
    /// clock.
    pub(crate) fn change(&self, now: Timestamp, wall: Timestamp) -> Change {
        match self {
            Self::Cancel { name } => Change { name: name.clone(), set: None },
            Self::Set { name, after, by_wall, every, at } => {
                let since = if *by_wall { wall } else { now };
                let due = since.as_micros() + after * 1000;
                let times = Times { due, every: every.map(|every| every * 1000), at: at.clone() };
                Change { name: name.clone(), set: Some(times) }
            }
        }
    }

    /// The effect with the order, whose event tells this change.
    pub(crate) fn on(self, effect: Effect<Ledger>, change: &Change) -> Effect<Ledger> {
        let (name, after, by_wall, every, at) = match self {
            Self::Cancel { name } => return effect.cancel_reminder(name.as_str()),
            Self::Set { name, after, by_wall, every, at } => (name, after, by_wall, every, at),
        };
        let due = change.set.as_ref().filter(|_| by_wall).map(|times| times.due);
        let mut reminder = match due {
            Some(due) => Reminder::at(Timestamp::from_micros(due)),
            None => Reminder::after(Duration::from_millis(after)),
        };
        if let Some(every) = every {
            reminder = reminder.every(Duration::from_millis(every));
        }
        if let Some(at) = at {
            reminder = reminder.at_replica(at);
        }
        effect.remind(name.as_str(), reminder)
    }
}

fn at(bits: u64, count: usize) -> usize {
    usize::try_from(bits % 1024).unwrap_or(0) % count
}

/// The times and the replica of a reminder. Times are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) due: u64,
    pub(crate) every: Option<u64>,
    pub(crate) at: Option<ReplicaId>,
}

/// The part of an event that sets a reminder, or cancels it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) set: Option<Times>,
}

/// The part of an event that says that a reminder has fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fired {
    pub(crate) name: String,
    /// The line that has set it.
    pub(crate) line: u64,
    pub(crate) due: u64,
}

/// A reminder that is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetLine {
    pub(crate) line: u64,
    pub(crate) origin: ReplicaId,
    pub(crate) number: u64,
    pub(crate) set_at: u64,
    pub(crate) times: Times,
    /// True when another one under its name came that does not know of it.
    pub(crate) had_rival: bool,
}

impl SetLine {
    fn age(&self) -> (u64, &ReplicaId, u64) {
        (self.set_at, &self.origin, self.number)
    }

    /// Returns whether the reminder fires at the replica.
    pub(crate) fn is_for(&self, replica: &ReplicaId) -> bool {
        self.times.at.as_ref().is_none_or(|at| at == replica)
    }
}

/// The place of an event: its replica here, its origin, its number there, and its time.
pub(crate) struct Place<'a> {
    pub(crate) replica: &'a ReplicaId,
    pub(crate) origin: &'a ReplicaId,
    pub(crate) number: u64,
    pub(crate) time: u64,
}

/// By name, the reminders that do not know of each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reminders(BTreeMap<String, Vec<SetLine>>);

impl Reminders {
    /// Takes an event with its line, its causes (by origin, the number of events that it knows),
    /// and its parts about reminders.
    pub(crate) fn apply(
        &mut self,
        place: &Place<'_>,
        (line, causes): (u64, &BTreeMap<ReplicaId, u64>),
        (change, fired): (Option<&Change>, Option<&Fired>),
    ) {
        if let Some(Change { name, set }) = change {
            let all = self.0.entry(name.clone()).or_default();
            all.retain(|one| one.number > causes.get(&one.origin).copied().unwrap_or(0));
            if let Some(times) = set {
                all.iter_mut().for_each(|one| one.had_rival = true);
                all.push(SetLine {
                    line,
                    origin: place.origin.clone(),
                    number: place.number,
                    set_at: place.time,
                    times: times.clone(),
                    had_rival: !all.is_empty(),
                });
            }
        }
        if let Some(fired) = fired {
            let all = self.0.entry(fired.name.clone()).or_default();
            let Some(of) = all.iter().find(|one| one.line == fired.line).cloned() else { return };
            // elsewhere it counts for the replica at which it fires only
            if place.origin == place.replica || of.times.at.is_some() {
                all.retain(|one| one.age() > of.age());
            }
        }
    }

    /// The reminder that fires, of those under a name: that of the latest event.
    pub(crate) fn current(&self, name: &str) -> Option<&SetLine> {
        self.0.get(name)?.iter().max_by(|one, other| one.age().cmp(&other.age()))
    }

    /// The lines of the reminders under a name that are not later than this one.
    pub(crate) fn up_to(&self, name: &str, set: &SetLine) -> Vec<u64> {
        let all = self.0.get(name).into_iter().flatten();
        all.filter(|one| one.age() <= set.age()).map(|one| one.line).collect()
    }

    /// The names of the reminders that are set.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The reminder whose turn it is by the wall clock of its node: the latest one, or the latest
    /// of those that had not `ended` here without an event, for one that came after that end. The
    /// error is the rule that is broken.
    pub(crate) fn turn(
        &self,
        replica: &ReplicaId,
        wall: Timestamp,
        reminder: &DueReminder,
        ended: &BTreeSet<u64>,
    ) -> Result<&SetLine, String> {
        let name = &reminder.name;
        let Some(latest) = self.current(name) else {
            return Err(format!("{name:?} fires, and is not set any more"));
        };
        let left = self.0.get(&**name).into_iter().flatten();
        let left = left.filter(|one| !ended.contains(&one.line));
        let left = left.max_by(|one, other| one.age().cmp(&other.age()));
        let judged = latest.turn(replica, wall, reminder).map(|()| latest);
        match left.filter(|_| judged.is_err()) {
            Some(left) => left.turn(replica, wall, reminder).map(|()| left),
            None => judged,
        }
    }
}

impl SetLine {
    fn turn(
        &self,
        replica: &ReplicaId,
        wall: Timestamp,
        reminder: &DueReminder,
    ) -> Result<(), String> {
        let DueReminder { name, due, missed, .. } = reminder;
        let (due, wall) = (due.as_micros(), wall.as_micros());
        if due > wall {
            return Err(format!("{name:?} is due at {due}, and fires at {wall}"));
        }
        if !self.is_for(replica) {
            return Err(format!("{name:?} fires, and the latest one is for {:?}", self.times.at));
        }
        let is_time = match self.times.every {
            None => due == self.times.due,
            Some(every) => due >= self.times.due && (due - self.times.due).is_multiple_of(every),
        };
        if !is_time {
            return Err(format!("{name:?} fires for {due}, and is set to {:?}", self.times));
        }
        let expected = self.times.every.map_or(0, |every| (wall - due) / every);
        if *missed != expected {
            return Err(format!("{name:?} tells {missed} missed periods, expected {expected}"));
        }
        Ok(())
    }
}
