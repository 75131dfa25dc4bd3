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
//!        | valid?                     no -> dropped, `malformed`, `unknown_replica`
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

use antiphon_persistence::event::StoredEvent;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_runtime::{NodeId, SendError};

use super::way::Input as WayInput;

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

/// Events that have arrived, and the facts that decide about them.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The type of the entity.
    pub entity_type: &'a str,
    /// The id of the entity.
    pub entity: &'a str,
    /// The replica that gets the events.
    pub replica: &'a ReplicaId,
    /// The events.
    pub events: &'a [StoredEvent],
    /// All replicas of the type, sorted.
    pub replicas: &'a [ReplicaId],
}

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
    /// Another node may not send these events.
    Malformed,
    /// The type has no such replica.
    UnknownReplica,
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
        if !arrival.is_valid() {
            return Some(Outcome::Malformed);
        }
        let is_known = arrival.replicas.binary_search(arrival.replica).is_ok();
        (!is_known).then_some(Outcome::UnknownReplica)
    }
}

impl Arrival<'_> {
    /// Returns whether another node may send these events: the entity id is valid, and the origins
    /// are other replicas of the type.
    fn is_valid(&self) -> bool {
        let is_known = |event: &StoredEvent| {
            let origin = &event.meta.origin;
            origin != self.replica
                && self.replicas.binary_search(origin).is_ok()
                && event.meta.origin_nr() > 0
        };
        ReplicationId::new(self.entity_type, self.entity, self.replica.clone()).is_ok()
            && !self.events.is_empty()
            && self.events.iter().all(is_known)
    }
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
            | Self::UnknownReplica => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::Timestamp;
    use antiphon_persistence::event::{EventMeta, Payload, SequenceNr};

    use super::*;

    const ON: Direct = Direct { event_publishing: true, direct_replication: true };

    fn replicas() -> [ReplicaId; 3] {
        ["A", "B", "C"].map(|name| ReplicaId::new(name).unwrap())
    }

    fn node(name: &str) -> NodeId {
        NodeId::new(name, 1).unwrap()
    }

    fn event_of(origin: &str, number: u64) -> StoredEvent {
        let origin = ReplicaId::new(origin).unwrap();
        let version = [(origin.clone(), number)].into_iter().collect();
        StoredEvent {
            sequence_nr: SequenceNr::new(1),
            meta: EventMeta {
                origin,
                version,
                source_seq: SequenceNr::new(1),
                concurrent: false,
                timestamp: Timestamp::default(),
            },
            payload: Payload { codec: 1, manifest: "".into(), version: 1, bytes: "x".into() },
        }
    }

    fn refuses(direct: Direct, to: &str, entity: &str, events: &[StoredEvent]) -> Option<Outcome> {
        let (replica, replicas) = (ReplicaId::new(to).unwrap(), replicas());
        direct.refuses(&Arrival {
            entity_type: "t",
            entity,
            replica: &replica,
            events,
            replicas: &replicas,
        })
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
    fn a_receiver_takes_events_of_other_replicas_only_and_only_if_it_is_switched_on() {
        let events = [event_of("A", 1)];
        assert_eq!(refuses(ON, "B", "e-1", &events), None);
        let off = Direct { direct_replication: false, ..ON };
        assert_eq!(refuses(off, "B", "e-1", &events), Some(Outcome::SwitchedOff));
        for (entity, events) in [
            ("e-1", &[][..]),
            ("", &events[..]),
            ("e-1", &[event_of("B", 1)][..]),
            ("e-1", &[event_of("X", 1)][..]),
            ("e-1", &[event_of("A", 1), event_of("A", 0)][..]),
        ] {
            assert_eq!(refuses(ON, "B", entity, events), Some(Outcome::Malformed), "{entity}");
        }
        assert_eq!(refuses(ON, "X", "e-1", &events), Some(Outcome::UnknownReplica));
    }
}
