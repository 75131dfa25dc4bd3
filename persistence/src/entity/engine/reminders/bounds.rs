//! The bounds and the invariants of the reminders of an entity, and their form in a snapshot.

use std::collections::BTreeSet;

use antiphon_base::time::Timestamp;

use super::super::reactions::REACTIONS;
use super::{ELSEWHERE, Reminders};
use crate::entity::reminder::ReminderOrder;
use crate::event::SequenceNr;
use crate::identity::ReplicationId;
use crate::store::SetReminder;

impl Reminders {
    /// The same for a snapshot, sorted by name. It also keeps the reminders of other replicas and
    /// the numbers to which the replica has reacted, as reminders with reserved names.
    pub(in crate::entity::engine) fn for_snapshot(&self, id: &ReplicationId) -> Vec<SetReminder> {
        let mut all = self.all();
        let reactions = self.0.as_ref().and_then(|book| book.reactions.as_ref());
        let reacted = |(first, last): (SequenceNr, SequenceNr), parts: u64| SetReminder {
            name: REACTIONS.into(),
            due: Timestamp::default(),
            every: parts,
            set_by: last,
            origin: id.replica_id().clone(),
            origin_nr: first.value(),
            set_at: Timestamp::default(),
        };
        let ranges = reactions.into_iter().flat_map(|reactions| reactions.ranges());
        let partly = reactions.and_then(|reactions| reactions.partly());
        all.extend(ranges.map(|range| reacted(*range, 0)));
        all.extend(partly.map(|(number, parts)| reacted((number, number), parts)));
        if let Some(book) = &self.0 {
            let elsewhere = book.set.values().flatten().filter(|one| book.is_elsewhere(one));
            all.extend(elsewhere.map(|one| {
                let name = format!("{ELSEWHERE}{}", one.name).into();
                SetReminder { name, ..one.clone() }
            }));
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// The reason why these orders cannot be carried out at this time; `None`: they can.
    pub(in crate::entity::engine) fn refusal(
        &self,
        now: Timestamp,
        orders: &[ReminderOrder],
        reminders_max: usize,
    ) -> Option<String> {
        // those whose time has passed have fired, or fire now
        let waits = |reminders: &Vec<SetReminder>| {
            reminders.iter().any(|reminder| reminder.due > now || reminder.every > 0)
        };
        let set = self.0.iter().flat_map(|book| &book.set);
        let mut names: BTreeSet<&str> =
            set.filter(|(_, reminders)| waits(reminders)).map(|(name, _)| &**name).collect();
        for order in orders {
            match order {
                ReminderOrder::Set(name, _) => drop(names.insert(name)),
                ReminderOrder::Cancel(name) => drop(names.remove(&**name)),
            }
            if names.len() > reminders_max {
                return Some(format!(
                    "{} reminders: expected at most {reminders_max} (`reminders_max`)",
                    names.len()
                ));
            }
        }
        None
    }

    /// Asserts that the reminders and the changes are those of events up to `newest`.
    pub(in crate::entity::engine) fn check(&self, newest: SequenceNr) {
        let Some(book) = &self.0 else { return };
        assert!(book.changes.iter().is_sorted_by_key(|(number, _)| *number), "out of order");
        let last = book.changes.back().map_or(SequenceNr::ZERO, |(number, _)| *number);
        assert!(last <= newest, "a row changes by event {last} of {newest}");
        if let Some(reactions) = &book.reactions {
            reactions.check(newest);
        }
        for (name, reminders) in &book.set {
            assert!(!reminders.is_empty(), "{name:?} is kept without a reminder");
            for reminder in reminders {
                assert_eq!(*name, reminder.name, "a reminder under its name");
                assert!(reminder.set_by <= newest, "{name:?} is set by an event that is not there");
                let same = reminders.iter().filter(|other| other.origin == reminder.origin);
                assert_eq!(same.count(), 1, "{name:?}: an event ends the earlier of its origin");
            }
        }
        for (name, set_by) in &book.elsewhere {
            let is_set =
                book.set.get(name).is_some_and(|all| all.iter().any(|it| it.set_by == *set_by));
            assert!(is_set, "{name:?} of event {set_by} fires elsewhere and is not set");
        }
    }
}
