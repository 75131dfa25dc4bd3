//! Counts the due rows whose replica the entity type does not have, over one walk through all due
//! rows: such rows are read again and again, and nobody answers for them.

use std::time::Duration;

use antiphon_persistence::store::ReminderRow;
use tokio::time::Instant;

/// The rows without an owner of one entity type.
#[derive(Debug, Default)]
pub struct Unowned {
    /// The row behind which the walk goes on.
    next: Option<ReminderRow>,
    /// The rows of the walk so far; `None`: a read began in the middle.
    count: Option<usize>,
    first: Option<ReminderRow>,
    told_at: Option<Instant>,
}

/// The end of a walk.
#[derive(Debug, PartialEq, Eq)]
pub struct Walked {
    /// The number of rows without an owner.
    pub count: usize,
    /// The first of them, if it is time to tell it.
    pub told: Option<ReminderRow>,
}

impl Unowned {
    /// Takes the rows without an owner of a page that was read behind `after`; `last` is its last
    /// row if more may follow. Returns the end of a walk over all due rows. One row is told in
    /// `tell_interval` at most.
    pub fn page(
        &mut self,
        (now, tell_interval): (Instant, Duration),
        (after, last): (Option<&ReminderRow>, Option<&ReminderRow>),
        rows: &[ReminderRow],
    ) -> Option<Walked> {
        if after.is_none() {
            (self.count, self.first) = (Some(0), None);
        } else if after != self.next.as_ref() {
            self.count = None;
        }
        self.next = last.cloned();
        let count = self.count.as_mut()?;
        *count += rows.len();
        if self.first.is_none() {
            self.first = rows.first().cloned();
        }
        if last.is_some() {
            return None;
        }
        let (count, first) = (self.count.take()?, self.first.take());
        let is_time = self.told_at.is_none_or(|at| now >= at + tell_interval);
        let told = first.filter(|_| is_time);
        if told.is_some() {
            self.told_at = Some(now);
        }
        Some(Walked { count, told })
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock, Timestamp};
    use antiphon_persistence::event::SequenceNr;
    use antiphon_persistence::identity::PersistenceId;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn row(due: u64) -> ReminderRow {
        ReminderRow {
            due: Timestamp::from_micros(due),
            persistence_id: PersistenceId::parse("cart|c-1|old").unwrap(),
            name: "expire".into(),
            set_by: SequenceNr::new(1),
        }
    }

    #[test]
    fn the_rows_of_a_whole_walk_are_counted_and_the_first_is_told_once_in_a_while() {
        let (mut unowned, now) = (Unowned::default(), SystemClock.now());
        let mut walk = |now| {
            let at = (now, MINUTE);
            assert_eq!(unowned.page(at, (None, Some(&row(5))), &[row(2), row(3)]), None);
            unowned.page(at, (Some(&row(5)), None), &[row(7)])
        };
        assert_eq!(walk(now), Some(Walked { count: 3, told: Some(row(2)) }));
        assert_eq!(walk(now + MINUTE / 2), Some(Walked { count: 3, told: None }));
        assert_eq!(walk(now + MINUTE), Some(Walked { count: 3, told: Some(row(2)) }));
    }

    #[test]
    fn a_read_that_begins_in_the_middle_ends_no_walk() {
        let (mut unowned, now) = (Unowned::default(), SystemClock.now());
        let at = (now, MINUTE);
        assert_eq!(unowned.page(at, (Some(&row(1)), None), &[row(7)]), None);
        assert_eq!(unowned.page(at, (None, Some(&row(5))), &[]), None);
        assert_eq!(unowned.page(at, (Some(&row(4)), None), &[row(7)]), None);
        assert_eq!(unowned.page(at, (None, None), &[]), Some(Walked { count: 0, told: None }));
    }
}
