//! The outcome of one event of a write.

use std::fmt;

use uuid::Uuid;

/// The reason for which an event cannot be appended at its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// The destination does not have the events before this one.
    Missing {
        /// The last number at the destination; none when it has no such stream.
        current: Option<u64>,
    },
    /// The destination has a different event at this number.
    Different {
        /// The id of that event; none when it can no longer be read.
        found: Option<Uuid>,
    },
    /// The destination's stream has a tombstone, and takes no event any more.
    Ended,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { current: None } => f.write_str("the destination has no such stream"),
            Self::Missing { current: Some(current) } => {
                write!(f, "the destination ends at #{current}")
            }
            Self::Different { found: Some(found) } => {
                write!(f, "the destination has event {found} at this number")
            }
            Self::Different { found: None } => {
                f.write_str("the destination is past this number and the event there is gone")
            }
            Self::Ended => f.write_str(
                "the destination has ended this stream for ever (a tombstone), and the source has not",
            ),
        }
    }
}

/// The outcome of one event of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The event is durable at the destination, with this number if the sink has numbers.
    Written(Option<u64>),
    /// The event was there already.
    Duplicate,
    /// A transform dropped the event on purpose.
    Dropped,
    /// The event does not fit the destination's stream.
    Conflict(Conflict),
    /// The sink refused this event for now: retry a limited number of times.
    Retryable(String),
    /// The sink as a whole is unreachable. This says nothing about the event, which waits without a
    /// limit.
    Unavailable(String),
    /// The sink will never accept the event, for example because it is too large. It is parked at
    /// once.
    Rejected(String),
    /// The event was not tried, because an earlier event of the same stream failed in this write.
    Untried,
}

impl Outcome {
    /// True when nothing is left to do with the event.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Written(_) | Self::Duplicate | Self::Dropped => true,
            Self::Conflict(_)
            | Self::Retryable(_)
            | Self::Unavailable(_)
            | Self::Rejected(_)
            | Self::Untried => false,
        }
    }

    /// The outcomes of `count` events of a stream, the first of which has this one and is not done.
    pub(crate) fn then_untried(self, count: usize) -> Vec<Self> {
        let mut outcomes = vec![Self::Untried; count];
        if let Some(first) = outcomes.first_mut() {
            *first = self;
        }
        outcomes
    }
}
