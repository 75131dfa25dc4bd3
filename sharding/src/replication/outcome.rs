//! The end of a message of direct replication.

use super::way::Input as WayInput;

/// The end of one message of direct replication at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The link took the events.
    Sent,
    /// The link did not take the events, for this reason.
    NotSent(&'static str),
    /// The shard had no home that this node knows.
    NoHome,
    /// The events were handed to a shard of this node.
    Local,
    /// Events that arrived were handed to the entity.
    Taken,
    /// The shard does not live here.
    NotHere,
    /// `direct_replication` is off.
    SwitchedOff,
    /// The message has no events, or is for no entity.
    Malformed,
    /// The type has no such replica.
    UnknownReplica,
    /// The events are not of a replica of the sender's place.
    OtherOrigin,
    /// An event has numbers that its writer cannot have given it.
    Impossible,
    /// The time of an event is too far ahead.
    Ahead,
}

impl Outcome {
    /// The value of the label `outcome` of the metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::NotSent(reason) => reason,
            Self::NoHome => "no_home",
            Self::Local => "local",
            Self::Taken => "taken",
            Self::NotHere => "not_here",
            Self::SwitchedOff => "switched_off",
            Self::Malformed => "malformed",
            Self::UnknownReplica => "unknown_replica",
            Self::OtherOrigin => "other_origin",
            Self::Impossible => "impossible_event",
            Self::Ahead => "event_ahead",
        }
    }

    /// The fact for the way to the receiving shard: events that were not sent have to be told of
    /// when the way is open.
    pub fn way(self) -> Option<WayInput> {
        match self {
            Self::Sent => Some(WayInput::Sent),
            Self::NotSent(_) | Self::NoHome => Some(WayInput::Dropped),
            Self::Local
            | Self::Taken
            | Self::NotHere
            | Self::SwitchedOff
            | Self::Malformed
            | Self::UnknownReplica
            | Self::OtherOrigin
            | Self::Impossible
            | Self::Ahead => None,
        }
    }
}
