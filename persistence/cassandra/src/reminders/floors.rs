//! The floors of a reader of reminders: where the first row of each minute is, at the earliest.
//!
//! A removed row leaves a tombstone, over which every later read must pass. A reader therefore
//! remembers for each minute the row that it found first, and begins the next read there. The
//! floor holds as long as the marks of the minute are the same; a put changes them.
//!
//! | marks of the minute | next read of it |
//! |---|---|
//! | other ones, or never read | from its start |
//! | as before, and a row was found | from that row, when that row is due |
//! | as before, and no row was found | none |
//!
//! A reader has a floor for each minute up to now that has marks; those of an hour end with its
//! marks, when no row of the hour is left.
//!
//! Floors are written beside the marks, as *progress*, so that the next reader does not pass over
//! all tombstones again. A floor that was true under some marks stays true under them for ever, so
//! an older progress row in place of a newer one does no harm.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_persistence::record::bytes::{Reader, Unreadable, put_bytes, put_number};
use antiphon_persistence::record::checksum::{Checksum, open, seal};
use antiphon_persistence::record::reminder::Key;
use bytes::Bytes;

use super::marks::{self, MINUTE, MINUTES, Minutes, hour_of, minute_of, within_hour};
use crate::tables::MarkRow;

/// The session under which progress is written. No session has this name.
pub(super) const PROGRESS: &str = "";

/// Moves of floors after which progress is written.
const MOVES: u32 = 16;

/// A key that no row reaches, for the minutes without a row.
const EMPTY_DUE: i64 = i64::MAX;

/// The part of a minute where rows may be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Minute {
    /// The checksum of the marks of this minute.
    marks: u64,
    /// No row is at this key or before it. `None` when the minute was not read under these marks.
    floor: Option<Floor>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Floor {
    Empty,
    /// The first row was found just behind this key, whose due time it has.
    Behind(Key),
}

#[derive(Debug, Default)]
struct Hour {
    minutes: BTreeMap<u8, Minute>,
    /// The sessions with marks, and the number of each mark.
    sessions: BTreeMap<Arc<str>, u64>,
    has_progress: bool,
    /// A mark cannot be read: every minute is read each time.
    is_damaged: bool,
    moves: u32,
}

/// A read: the rows of a minute behind a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) hour: u64,
    minute: u8,
    /// The read begins behind this key.
    pub(super) after: Key,
    /// The last due time of the minute.
    pub(super) last: i64,
    /// True when no row of the minute can be before the read.
    is_whole: bool,
}

/// Rows of the marks' table that are no longer needed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) hour: u64,
    /// The sessions with marks, and the number of each mark.
    pub(super) sessions: Vec<(Arc<str>, u64)>,
    pub(super) has_progress: bool,
}

/// The floors of one entity type.
#[derive(Debug)]
pub(super) struct Floors {
    entity_type: Arc<str>,
    hours: BTreeMap<u64, Hour>,
}

impl Floors {
    pub(super) fn new(entity_type: Arc<str>) -> Self {
        Self { entity_type, hours: BTreeMap::new() }
    }

    /// Takes all marks of the hours up to `last_hour`. Returns the problem of the last damaged row.
    pub(super) fn read(&mut self, marks: &[MarkRow], last_hour: u64) -> Option<String> {
        let later = self.hours.split_off(&last_hour.saturating_add(1));
        let before = std::mem::replace(&mut self.hours, later);
        let mut problem = None;
        for of_hour in marks.chunk_by(|a, b| a.hour == b.hour) {
            let number = of_hour[0].hour;
            let (hour, why) = self.hour(of_hour, before.get(&number));
            problem = why.map(|why| format!("marks of hour {number}: {why}")).or(problem);
            self.hours.insert(number, hour);
        }
        problem
    }

    fn hour(&self, rows: &[MarkRow], before: Option<&Hour>) -> (Hour, Option<Unreadable>) {
        let mut hour = Hour { moves: before.map_or(0, |hour| hour.moves), ..Hour::default() };
        let mut sums: BTreeMap<u8, Checksum> = BTreeMap::new();
        let (mut progress, mut problem) = (BTreeMap::new(), None);
        for row in rows {
            if &*row.session == PROGRESS {
                hour.has_progress = true;
                // progress is a hint only
                progress = decode(&self.entity_type, row).unwrap_or_default();
                continue;
            }
            let minutes: Minutes = match marks::decode(&self.entity_type, row) {
                Ok(minutes) => minutes,
                Err(why) => {
                    (hour.is_damaged, problem) = (true, Some(why));
                    (0..MINUTES).map(|minute| (within_hour(minute), 0)).collect()
                }
            };
            let number = minutes.values().copied().max().unwrap_or(0);
            hour.sessions.insert(row.session.clone(), number);
            for (minute, number) in minutes {
                let sum = sums.entry(minute).or_insert_with(|| Checksum::of("floors"));
                sum.text(&row.session).number(number);
            }
        }
        for (minute, sum) in sums {
            let marks = sum.value();
            let known = before.and_then(|before| before.minutes.get(&minute));
            let known = known.filter(|known| known.floor.is_some() && known.marks == marks);
            let known = known.or_else(|| progress.get(&minute).filter(|of| of.marks == marks));
            let floor = known.and_then(|known| known.floor.clone());
            let floor = floor.filter(|_| !hour.is_damaged);
            hour.minutes.insert(minute, Minute { marks, floor });
        }
        (hour, problem)
    }

    /// The next read for rows behind `after` that are due at `until` or before.
    pub(super) fn next(&self, after: &Key, until: i64) -> Option<Slice> {
        let first_minute = minute_of(unsigned(after.due));
        for (number, hour) in self.hours.range(first_minute / MINUTES..) {
            for (within, minute) in &hour.minutes {
                let start = (number * MINUTES + u64::from(*within)).saturating_mul(MINUTE);
                if minute_of(start) < first_minute {
                    continue;
                }
                let (start, last) = (signed(start), signed(start.saturating_add(MINUTE - 1)));
                if start > until {
                    return None;
                }
                let floor = match &minute.floor {
                    None => before_all(start),
                    Some(Floor::Empty) => continue,
                    Some(Floor::Behind(key)) if key.due > until => continue,
                    Some(Floor::Behind(key)) => key.clone(),
                };
                let is_whole = *after <= floor;
                let after = if is_whole { floor } else { after.clone() };
                return Some(Slice { hour: *number, minute: *within, after, last, is_whole });
            }
        }
        None
    }

    /// Takes the first row that a read found. `until` is the time of the reader.
    pub(super) fn found(&mut self, slice: &Slice, first: Option<&Key>, until: i64) {
        let Some(hour) = self.hours.get_mut(&slice.hour) else { return };
        if !slice.is_whole || hour.is_damaged {
            return;
        }
        let Some(minute) = hour.minutes.get_mut(&slice.minute) else { return };
        let floor = first.map_or(Floor::Empty, |key| {
            Floor::Behind(Key { set_by: key.set_by.saturating_sub(1), ..key.clone() })
        });
        if minute.floor.as_ref() != Some(&floor) {
            let is_over = floor == Floor::Empty && slice.last <= until;
            hour.moves = hour.moves.saturating_add(if is_over { MOVES } else { 1 });
            minute.floor = Some(floor);
        }
    }

    /// The hours before that of `until` in which no row is left.
    pub(super) fn ended(&self, until: i64) -> Vec<Ended> {
        let now = hour_of(unsigned(until));
        let is_over = |hour: &Hour| {
            let mut minutes = hour.minutes.values();
            !hour.is_damaged && minutes.all(|minute| minute.floor == Some(Floor::Empty))
        };
        let over = self.hours.range(..now).filter(|(_, hour)| is_over(hour));
        let ended = over.map(|(number, hour)| Ended {
            hour: *number,
            sessions: hour.sessions.iter().map(|(name, nr)| (name.clone(), *nr)).collect(),
            has_progress: hour.has_progress,
        });
        ended.collect()
    }

    /// Forgets an hour whose marks were removed.
    pub(super) fn forget(&mut self, hour: u64) {
        self.hours.remove(&hour);
    }

    /// The progress rows to write now: of the hours whose floors have moved far since then.
    pub(super) fn progress(&mut self) -> Vec<MarkRow> {
        let entity_type = &self.entity_type;
        let moved = self.hours.iter_mut().filter(|(_, hour)| hour.moves >= MOVES);
        let rows = moved.map(|(number, hour)| {
            hour.moves = 0;
            let record = encode(entity_type, *number, &hour.minutes);
            MarkRow { hour: *number, session: PROGRESS.into(), record }
        });
        rows.collect()
    }
}

/// The key before all rows that are due at `due` or later.
pub(super) fn before_all(due: i64) -> Key {
    Key { due, persistence_id: "".into(), name: "".into(), set_by: i64::MIN }
}

/// The key before all rows that are due later than `due`.
pub(super) fn behind_all(due: i64) -> Key {
    before_all(due.saturating_add(1))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn key(entity_type: &str, hour: u64) -> Checksum {
    let mut sum = Checksum::of("reminder_progress");
    sum.text(entity_type).number(hour);
    sum
}

fn encode(entity_type: &str, hour: u64, minutes: &BTreeMap<u8, Minute>) -> Bytes {
    let mut record = Vec::new();
    for (minute, of) in minutes {
        let (due, id, name, set_by) = match &of.floor {
            None => continue,
            Some(Floor::Empty) => (EMPTY_DUE, "", "", 0),
            Some(Floor::Behind(key)) => (key.due, &*key.persistence_id, &*key.name, key.set_by),
        };
        put_number(&mut record, u64::from(*minute));
        put_number(&mut record, of.marks);
        put_number(&mut record, due.cast_unsigned());
        put_bytes(&mut record, id.as_bytes());
        put_bytes(&mut record, name.as_bytes());
        put_number(&mut record, set_by.cast_unsigned());
    }
    seal(key(entity_type, hour), &mut record);
    record.into()
}

fn decode(entity_type: &str, row: &MarkRow) -> Result<BTreeMap<u8, Minute>, Unreadable> {
    let mut record = Reader(open(key(entity_type, row.hour), &row.record)?);
    let mut minutes = BTreeMap::new();
    while record.end().is_err() {
        let minute = u8::try_from(record.number()?).map_err(|_| "a minute is out of range")?;
        let marks = record.number()?;
        let due = record.number()?.cast_signed();
        let (persistence_id, name) = (record.text()?.into(), record.text()?.into());
        let set_by = record.number()?.cast_signed();
        let key = Key { due, persistence_id, name, set_by };
        let is_empty = key.due == EMPTY_DUE && key.persistence_id.is_empty();
        let floor = if is_empty { Floor::Empty } else { Floor::Behind(key) };
        minutes.insert(minute, Minute { marks, floor: Some(floor) });
    }
    Ok(minutes)
}

/// Checks the record of a progress row.
///
/// # Errors
/// The reason why the record cannot be used.
pub(super) fn check_progress(entity_type: &str, row: &MarkRow) -> Result<(), Unreadable> {
    decode(entity_type, row).map(drop)
}

#[cfg(test)]
mod tests;
