//! The reasons why a message of another node is refused.

use std::fmt;

/// The reason why a message of another node is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// The bytes are no message.
    Malformed,
    /// This node has no such entity type.
    UnknownType,
    /// The sender is in no membership table.
    NoMember,
    /// The sender is a newcomer, and too many messages of newcomers wait.
    NewcomersFull,
    /// Homes whose sender does not hold the lease of the place.
    NotCoordinator,
    /// Homes under a token that no lease has, as far as this node knows.
    UnknownLease,
    /// Homes under the token of an earlier lease.
    EarlierLease,
    /// A report that a shard has stopped, whose sender is not the home that the shard leaves.
    NotTheHome,
    /// A report that the way from a replica is open, whose sender is of another place.
    OtherWay,
    /// Events of a replica that the sender's place does not have.
    OtherOrigin,
    /// An event with a version or numbers that no event can have.
    ImpossibleEvent,
    /// An event whose time is too far ahead.
    EventAhead,
    /// A command of another place, for a type that takes none.
    OtherPlace,
    /// A reminder that is due, from a node of another place.
    OtherReminder,
}

impl Refusal {
    /// All reasons.
    #[cfg(test)]
    const ALL: [Self; 14] = [
        Self::Malformed,
        Self::UnknownType,
        Self::NoMember,
        Self::NewcomersFull,
        Self::NotCoordinator,
        Self::UnknownLease,
        Self::EarlierLease,
        Self::NotTheHome,
        Self::OtherWay,
        Self::OtherOrigin,
        Self::ImpossibleEvent,
        Self::EventAhead,
        Self::OtherPlace,
        Self::OtherReminder,
    ];

    /// The value of the label `reason` of `antiphon_wire_refused_total`.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownType => "unknown_type",
            Self::NoMember => "no_member",
            Self::NewcomersFull => "newcomers_full",
            Self::NotCoordinator => "not_coordinator",
            Self::UnknownLease => "unknown_lease",
            Self::EarlierLease => "earlier_lease",
            Self::NotTheHome => "not_the_home",
            Self::OtherWay => "other_way",
            Self::OtherOrigin => "other_origin",
            Self::ImpossibleEvent => "impossible_event",
            Self::EventAhead => "event_ahead",
            Self::OtherPlace => "other_place",
            Self::OtherReminder => "other_reminder",
        }
    }

    /// Returns whether honest nodes cause this refusal at times: when a lease changes hands, for
    /// example. It is counted, and not logged as a warning.
    pub(super) fn is_usual(self) -> bool {
        matches!(self, Self::UnknownType | Self::UnknownLease | Self::EarlierLease)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "its bytes are no message",
            Self::UnknownType => "this node has no such entity type",
            Self::NoMember => "its sender is in no membership table that this node has read",
            Self::NewcomersFull => {
                "its sender is in no membership table that this node has read, and too many such messages wait (`newcomer_messages_max`, `newcomer_bytes_max`)"
            }
            Self::NotCoordinator => {
                "it tells homes of shards, and its sender does not hold the coordinator lease of the place"
            }
            Self::UnknownLease => "it tells homes of shards under a token that no known lease has",
            Self::EarlierLease => "it tells homes of shards under the token of an earlier lease",
            Self::NotTheHome => {
                "it says that a shard has stopped, and its sender is not the home that the shard leaves"
            }
            Self::OtherWay => {
                "it says that the way from a replica is open, and its sender's place does not have that replica"
            }
            Self::OtherOrigin => "it has events of a replica that its sender's place does not have",
            Self::ImpossibleEvent => "it has an event with numbers that no event can have",
            Self::EventAhead => {
                "it has an event whose time is further ahead of this node's clock than `time_skew_max`: compare the clocks of both nodes"
            }
            Self::OtherPlace => {
                "it is a command of another place, and the type takes none (`commands_from`)"
            }
            Self::OtherReminder => "it says that a reminder is due, and its sender is of another place",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_refusal_has_a_reason_of_its_own() {
        let reasons: BTreeSet<_> = Refusal::ALL.into_iter().map(Refusal::reason).collect();
        let texts: BTreeSet<_> = Refusal::ALL.into_iter().map(|why| why.to_string()).collect();
        assert_eq!((reasons.len(), texts.len()), (Refusal::ALL.len(), Refusal::ALL.len()));
    }
}
