//! The marks of a session: in which minutes it has put reminders.
//!
//! A mark tells the readers of reminders where rows are, and that rows were added there. Each
//! session writes its own marks, one for each hour, and numbers its puts. A mark has, for each
//! minute of the hour, the number of the last put into it, so a newer mark contains the older ones.
//!
//! ```text
//!   put: rows --durable--> number taken, mark made --durable--> answered
//! ```
//!
//! The number is taken after the rows are durable: a reader that sees a number in a mark can read
//! the rows of that put, and of every put of the session with a lower number.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_persistence::record::bytes::{Reader, Unreadable, put_number};
use antiphon_persistence::record::checksum::{Checksum, open, seal};
use bytes::Bytes;

use crate::tables::{MarkRow, ReminderPart};

/// Microseconds of a minute, and minutes of an hour.
pub(super) const MINUTE: u64 = 60_000_000;
pub(super) const MINUTES: u64 = 60;

/// Parts that a session remembers. Beyond it, the session begins new marks beside the old ones.
const PARTS_MAX: usize = 10_000;

/// The minutes of a mark: minute of the hour, number of the last put into it.
pub(super) type Minutes = BTreeMap<u8, u64>;

/// The minute of a due time, counted from 1970.
pub(super) fn minute_of(due: u64) -> u64 {
    due / MINUTE
}

/// The hour of a due time, counted from 1970.
pub(super) fn hour_of(due: u64) -> u64 {
    minute_of(due) / MINUTES
}

/// The minute within its hour.
pub(super) fn within_hour(minute: u64) -> u8 {
    u8::try_from(minute % MINUTES).expect("an hour has 60 minutes")
}

/// The marks that a session has written.
#[derive(Debug)]
pub(super) struct Marks {
    /// The number of the session in its place, which no other session has.
    session: Arc<str>,
    /// The sessions under whose names earlier marks were written.
    begun: u64,
    last: u64,
    parts: BTreeMap<ReminderPart, Minutes>,
}

impl Marks {
    pub(super) fn new(session: Arc<str>) -> Self {
        Self { session, begun: 0, last: 0, parts: BTreeMap::new() }
    }

    /// The marks to write after rows were put into these minutes of a part, and their number, which
    /// is the time of their write.
    pub(super) fn put(
        &mut self,
        part: &ReminderPart,
        minutes: impl IntoIterator<Item = u8>,
    ) -> (MarkRow, u64) {
        if self.parts.len() >= PARTS_MAX && !self.parts.contains_key(part) {
            // a mark without the earlier minutes must not take the place of one with them
            self.begun += 1;
            self.parts.clear();
        }
        self.last += 1;
        let last = self.last;
        let known = self.parts.entry(part.clone()).or_default();
        known.extend(minutes.into_iter().map(|minute| (minute, last)));
        let session: Arc<str> = format!("{}.{}", self.session, self.begun).into();
        let record = encode(part, &session, known);
        self.check();
        (MarkRow { hour: part.hour, session, record }, last)
    }

    /// Checks the bounds.
    ///
    /// # Panics
    /// When a bound does not hold.
    fn check(&self) {
        assert!(self.parts.len() <= PARTS_MAX, "{} parts are remembered", self.parts.len());
    }
}

fn key(entity_type: &str, hour: u64, session: &str) -> Checksum {
    let mut sum = Checksum::of("reminder_marks");
    sum.text(entity_type).number(hour).text(session);
    sum
}

fn encode(part: &ReminderPart, session: &str, minutes: &Minutes) -> Bytes {
    let mut record = Vec::with_capacity(4 + minutes.len() * 4);
    for (minute, number) in minutes {
        put_number(&mut record, u64::from(*minute));
        put_number(&mut record, *number);
    }
    seal(key(&part.entity_type, part.hour, session), &mut record);
    record.into()
}

/// The minutes of a mark.
///
/// # Errors
/// The reason why the record cannot be used.
pub(super) fn decode(entity_type: &str, mark: &MarkRow) -> Result<Minutes, Unreadable> {
    let key = key(entity_type, mark.hour, &mark.session);
    let mut record = Reader(open(key, &mark.record)?);
    let mut minutes = Minutes::new();
    while record.end().is_err() {
        let minute =
            u8::try_from(record.number()?).ok().filter(|minute| u64::from(*minute) < MINUTES);
        minutes.insert(minute.ok_or("a minute is out of range")?, record.number()?);
    }
    Ok(minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(hour: u64) -> ReminderPart {
        ReminderPart { entity_type: "cart".into(), hour }
    }

    #[test]
    fn a_newer_mark_contains_the_older_ones() {
        let mut marks = Marks::new("7".into());
        let (first, at) = marks.put(&part(5), [3, 9]);
        assert_eq!((at, &*first.session), (1, "7.0"));
        assert_eq!(decode("cart", &first), Ok([(3, 1), (9, 1)].into()));
        marks.put(&part(6), [3]);
        let (second, at) = marks.put(&part(5), [9, 59]);
        assert_eq!(at, 3);
        assert_eq!(decode("cart", &second), Ok([(3, 1), (9, 3), (59, 3)].into()));
    }

    #[test]
    fn the_record_of_a_mark_never_changes() {
        let (mark, _) = Marks::new("7".into()).put(&part(5), [3, 9]);
        let sum = 0x2412_8018_c6b7_3cff_u64;
        assert_eq!(mark.record[..], [&[3, 1, 9, 1], &sum.to_le_bytes()[..]].concat());
    }

    #[test]
    fn a_session_that_remembers_too_much_goes_on_under_another_name() {
        let mut marks = Marks::new("7".into());
        for hour in 0..=PARTS_MAX as u64 {
            marks.put(&part(hour), [1]);
        }
        let (mark, at) = marks.put(&part(0), [2]);
        assert_eq!((&*mark.session, at), ("7.1", PARTS_MAX as u64 + 2));
        assert_eq!(decode("cart", &mark), Ok([(2, at)].into()));
    }

    #[test]
    fn a_damaged_or_moved_mark_is_found() {
        let (mark, _) = Marks::new("7".into()).put(&part(5), [3]);
        assert!(decode("card", &mark).is_err());
        assert!(decode("cart", &MarkRow { hour: 6, ..mark.clone() }).is_err());
        assert!(decode("cart", &MarkRow { record: Bytes::new(), ..mark.clone() }).is_err());
        for bit in 0..mark.record.len() * 8 {
            let mut record = mark.record.to_vec();
            record[bit / 8] ^= 1 << (bit % 8);
            assert!(decode("cart", &MarkRow { record: record.into(), ..mark.clone() }).is_err());
        }
    }
}
