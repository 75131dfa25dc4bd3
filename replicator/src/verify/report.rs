//! The result of a comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use uuid::Uuid;

use super::state::State;

/// Largest number of differences shown for one stream.
const EXAMPLES_MAX: usize = 5;

/// A difference in one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The event of the source is missing at the destination.
    Missing(u64, Uuid),
    /// The event of the destination is missing at the source.
    Extra(u64, Uuid),
    /// The event is on both sides, but a part of it differs.
    Different(u64, Uuid, &'static str),
    /// The event is on both sides, but not in the same order.
    OutOfOrder(u64, Uuid),
    /// The stream is there, deleted or missing on one side, and not so on the other.
    State(State, State),
    /// The streams begin at different numbers, because one of them is truncated.
    Begins(u64, u64),
    /// The highest numbers in the logs differ, though readers see neither: what a deletion hides.
    Hidden(u64, u64),
    /// A property of the stream's metadata differs.
    Metadata(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(revision, id) => {
                write!(f, "#{revision} ({id}) is missing at the destination")
            }
            Self::Extra(revision, id) => {
                write!(f, "#{revision} ({id}) of the destination is not at the source")
            }
            Self::Different(revision, id, part) => write!(f, "#{revision} ({id}): {part} differs"),
            Self::OutOfOrder(revision, id) => {
                write!(f, "#{revision} ({id}) is at another place at the destination")
            }
            Self::State(source, destination) => {
                write!(
                    f,
                    "the stream is {source} at the source and {destination} at the destination"
                )
            }
            Self::Begins(source, destination) => write!(
                f,
                "the stream begins with #{source} at the source and with #{destination} at the destination: one of them is truncated"
            ),
            Self::Hidden(source, destination) => write!(
                f,
                "the deleted stream has events up to #{source} in the log of the source, and up to #{destination} in that of the destination"
            ),
            Self::Metadata(property) => write!(f, "`{property}` of the stream's metadata differs"),
        }
    }
}

/// The result of the comparison of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// Number of equal events.
    pub same: u64,
    /// Number of events of the source that are missing at the destination.
    pub missing: u64,
    /// Number of events of the destination that are missing at the source.
    pub extra: u64,
    /// Number of events that differ.
    pub different: u64,
    /// Number of equal events in another order.
    pub out_of_order: u64,
    /// Number of differences of the stream as a whole: its existence, its metadata, its log.
    pub whole: u64,
    /// A few of the differences.
    pub examples: Vec<Difference>,
}

impl StreamReport {
    /// True when nothing differs.
    pub fn is_equal(&self) -> bool {
        self.missing + self.extra + self.different + self.out_of_order + self.whole == 0
    }

    pub(super) fn add(&mut self, difference: Difference) {
        match difference {
            Difference::Missing(..) => self.missing += 1,
            Difference::Extra(..) => self.extra += 1,
            Difference::Different(..) => self.different += 1,
            Difference::OutOfOrder(..) => self.out_of_order += 1,
            Difference::State(..)
            | Difference::Begins(..)
            | Difference::Hidden(..)
            | Difference::Metadata(_) => self.whole += 1,
        }
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(difference);
        }
    }
}

/// The result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The reports by stream at the source.
    pub streams: BTreeMap<String, StreamReport>,
    /// Streams that only the destination has, though a subscription would have written them.
    pub only_there: BTreeSet<String>,
}

impl Report {
    /// True when no stream differs, and the destination has no other stream.
    pub fn is_equal(&self) -> bool {
        self.only_there.is_empty() && self.streams.values().all(StreamReport::is_equal)
    }

    /// A table for people: every stream that differs, and the totals.
    pub fn table(&self) -> String {
        let mut lines = Vec::new();
        for (stream, report) in self.streams.iter().filter(|(_, report)| !report.is_equal()) {
            lines.push(format!(
                "{stream}: {} missing, {} extra, {} different, {} out of order",
                report.missing, report.extra, report.different, report.out_of_order
            ));
            lines.extend(report.examples.iter().map(|example| format!("  {example}")));
        }
        let only_there = self.only_there.iter();
        lines.extend(only_there.map(|stream| format!("{stream}: only the destination has it")));
        let equal = self.streams.values().filter(|report| report.is_equal()).count();
        let events: u64 = self.streams.values().map(|report| report.same).sum();
        let count = self.streams.len();
        lines.push(format!("{equal} of {count} streams equal, {events} events the same"));
        lines.join("\n")
    }
}
