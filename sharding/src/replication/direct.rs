//! Direct replication: events that are durable at one replica go at once to the others.
//!
//! ```text
//!   entity at A: events are durable
//!        |  `event_publishing`: for each other replica
//!        v
//!   home of its shard?  none -> dropped, `no_home`
//!        |              this node -> handed over here, `local`
//!        v another node
//!   link takes them?    no -> dropped, with the link's reason
//!        | yes: `sent`
//!        v
//!   home at B: `direct_replication`?  no -> dropped, `switched_off`
//!        | may it be taken?           no -> dropped, with the reason (`arrival`)
//!        | is the shard here?         no -> dropped, `not_here`
//!        v
//!   entity at B, which is started if it does not run (hot standby): `taken`
//! ```
//!
//! - The sender is the node at which the entity runs. It sends after the events are durable, in the
//!   order of the entity's appends, and waits for no answer.
//! - An event is sent once. Events that are dropped on the way come later: the journal loop of the
//!   receiving shard reads them (`journal_loop`). As soon as the way is open again, the sender
//!   tells that home to read now (`way`).
//! - A shard whose entity cannot take the events (it is stopping and its buffer is full, the node
//!   has no room, its mailbox is full) reads the journals now.
//! - Events that arrive too late, twice or too early do no harm: the entity takes each event once,
//!   in causal order (`antiphon_persistence::delivery`).

use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::{NodeId, SendError};

use super::arrival::Arrival;
use super::outcome::Outcome;

/// The settings of direct replication of one entity type at one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direct {
    /// True: durable events are sent.
    pub event_publishing: bool,
    /// True: events that arrive are taken.
    pub direct_replication: bool,
}

/// The destination of durable events for one other replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The home of the shard is this node.
    Here,
    /// The home of the shard is another node.
    Node(NodeId),
    /// The shard has no home, as far as this node knows: the events are dropped.
    Nowhere,
}

impl Direct {
    /// The replicas to which the durable events of `writer` go.
    pub fn receivers<'a>(
        &self,
        replicas: &'a [ReplicaId],
        writer: &'a ReplicaId,
    ) -> impl Iterator<Item = &'a ReplicaId> + use<'a> {
        let is_on = self.event_publishing;
        replicas.iter().filter(move |replica| is_on && *replica != writer)
    }

    /// The destination of events whose shard has this home, at the node `me`.
    pub fn destination(me: &NodeId, home: Option<NodeId>) -> Destination {
        match home {
            None => Destination::Nowhere,
            Some(node) if node == *me => Destination::Here,
            Some(node) => Destination::Node(node),
        }
    }

    /// The outcome of events that were handed to the link.
    pub fn handed(sent: &Result<(), SendError>) -> Outcome {
        sent.as_ref().map_or_else(|error| Outcome::NotSent(error.reason()), |()| Outcome::Sent)
    }

    /// Decides about events that have arrived, before their shard is looked at; `None`: they may be
    /// taken, if the shard is here.
    pub fn refuses(&self, arrival: &Arrival<'_>) -> Option<Outcome> {
        if !self.direct_replication {
            return Some(Outcome::SwitchedOff);
        }
        arrival.refusal()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use antiphon_base::time::Timestamp;

    use super::super::way::Input as WayInput;
    use super::*;

    const ON: Direct = Direct { event_publishing: true, direct_replication: true };

    fn replicas() -> [ReplicaId; 3] {
        ["A", "B", "C"].map(|name| ReplicaId::new(name).unwrap())
    }

    fn node(name: &str) -> NodeId {
        NodeId::new(name, 1).unwrap()
    }

    #[test]
    fn durable_events_go_to_all_other_replicas_unless_that_is_switched_off() {
        let (replicas, writer) = (replicas(), ReplicaId::new("B").unwrap());
        let of = |direct: Direct| {
            direct.receivers(&replicas, &writer).map(ReplicaId::as_str).collect::<Vec<_>>()
        };
        assert_eq!(of(ON), ["A", "C"]);
        assert!(of(Direct { event_publishing: false, ..ON }).is_empty());
    }

    #[test]
    fn events_go_to_the_home_and_what_is_not_sent_is_told_of_later() {
        let me = node("me");
        assert_eq!(Direct::destination(&me, None), Destination::Nowhere);
        assert_eq!(Direct::destination(&me, Some(node("me"))), Destination::Here);
        assert_eq!(Direct::destination(&me, Some(node("b"))), Destination::Node(node("b")));
        assert_eq!(Direct::handed(&Ok(())).way(), Some(WayInput::Sent));
        let full = Direct::handed(&Err(SendError::Full("x".into())));
        assert_eq!(full.way(), Some(WayInput::Dropped));
        assert_eq!(Outcome::NoHome.way(), Some(WayInput::Dropped));
        assert_eq!(Outcome::Local.way(), None, "nothing can be lost here");
    }

    #[test]
    fn a_receiver_takes_events_only_if_that_is_switched_on() {
        let places = replicas().map(|replica| (replica.clone(), replica.as_str().into())).into();
        let arrival = Arrival {
            sender: "A",
            entity_type: "t",
            entity: "e-1",
            replica: &replicas()[1],
            events: &[],
            places: &places,
            wall: Timestamp::default(),
            time_skew_max: Duration::ZERO,
        };
        let off = Direct { direct_replication: false, ..ON };
        assert_eq!(off.refuses(&arrival), Some(Outcome::SwitchedOff));
        assert_eq!(ON.refuses(&arrival), Some(Outcome::Malformed), "no events");
    }
}
