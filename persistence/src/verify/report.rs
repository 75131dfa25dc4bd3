//! The report of a verification: the rows that were read, and the damage.

use std::fmt;

use serde::Serialize;

/// Damages that a report lists; further damages are only counted.
pub const DAMAGE_COUNT_MAX: usize = 1000;

/// A damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The table of the database.
    pub table: &'static str,
    /// The row of the table, or the stream.
    pub key: String,
    /// The problem.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.table, self.key, self.what)
    }
}

/// The rows of a store, and the damage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Streams.
    pub streams: u64,
    /// Rows that hold events.
    pub event_rows: u64,
    /// Events, including events in rows that are partly deleted.
    pub events: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Rows of coordination, positions and writers.
    pub other_rows: u64,
    /// The first damages, at most [`DAMAGE_COUNT_MAX`].
    pub damages: Vec<Damage>,
    /// The number of all damages.
    pub damage_count: u64,
}

impl Report {
    /// Returns whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage_count == 0
    }

    /// Adds a damage.
    pub fn damaged(
        &mut self,
        table: &'static str,
        key: impl Into<String>,
        what: impl Into<String>,
    ) {
        self.damage_count += 1;
        if self.damages.len() < DAMAGE_COUNT_MAX {
            self.damages.push(Damage { table, key: key.into(), what: what.into() });
        }
        assert!(self.damages.len() as u64 <= self.damage_count, "a damage that is not counted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_more_damage_than_it_lists() {
        let mut report = Report::default();
        assert!(report.is_sound());
        for row in 0..DAMAGE_COUNT_MAX + 5 {
            report.damaged("events", format!("row {row}"), "gone");
        }
        assert_eq!((report.damages.len(), report.damage_count), (DAMAGE_COUNT_MAX, 1005));
        assert!(!report.is_sound());
        assert_eq!(report.damages[7].to_string(), "events: row 7: gone");
    }
}
