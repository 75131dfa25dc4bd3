//! The result of a comparison.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

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
    /// Number of events of the destination, up to the last one of the source, that are missing at
    /// the source.
    pub extra: u64,
    /// Number of events that differ.
    pub different: u64,
    /// Number of equal events in another order.
    pub out_of_order: u64,
    /// A few of the differences.
    pub examples: Vec<Difference>,
}

impl StreamReport {
    /// True when nothing differs.
    pub fn is_equal(&self) -> bool {
        self.missing + self.extra + self.different + self.out_of_order == 0
    }

    pub(super) fn add(&mut self, difference: Difference) {
        match difference {
            Difference::Missing(..) => self.missing += 1,
            Difference::Extra(..) => self.extra += 1,
            Difference::Different(..) => self.different += 1,
            Difference::OutOfOrder(..) => self.out_of_order += 1,
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
}

impl Report {
    /// True when no stream differs.
    pub fn is_equal(&self) -> bool {
        self.streams.values().all(StreamReport::is_equal)
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
        let equal = self.streams.values().filter(|report| report.is_equal()).count();
        let events: u64 = self.streams.values().map(|report| report.same).sum();
        let count = self.streams.len();
        lines.push(format!("{equal} of {count} streams equal, {events} events the same"));
        lines.join("\n")
    }
}
