//! Decides whether the events of a message of direct replication may be taken.
//!
//! - The events were written at a replica of the sender's place: a node sends the events of its own
//!   entities only.
//! - Each event has numbers that its writer can have given it: it is behind exactly the events that
//!   its version names, so `sequence_nr`, `source_seq` and the number of events of its version are
//!   the same. Events that a journal brings may have other numbers, after a journal went back.
//! - Its time is at most `time_skew_max` ahead of this node's time of day. The journal brings an
//!   event that is further ahead, and its time is not taken over then
//!   (`antiphon_persistence::entity::EntitySettings::time_skew_max`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Timestamp;
use antiphon_persistence::event::StoredEvent;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};

use super::outcome::Outcome;

/// The highest number that an event can have: the highest that every store can keep.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// Events that have arrived, and the facts that decide about them.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The place of the node that sent the events.
    pub sender: &'a str,
    /// The type of the entity.
    pub entity_type: &'a str,
    /// The id of the entity.
    pub entity: &'a str,
    /// The replica that gets the events.
    pub replica: &'a ReplicaId,
    /// The events.
    pub events: &'a [StoredEvent],
    /// All replicas of the type, and the place of each.
    pub places: &'a BTreeMap<ReplicaId, Arc<str>>,
    /// The time of day.
    pub wall: Timestamp,
    /// Most time that an event may be ahead of `wall`.
    pub time_skew_max: Duration,
}

impl Arrival<'_> {
    /// Returns the reason why the events are not taken, as the end of their message; `None`: they
    /// may be taken, if the shard is here.
    pub fn refusal(&self) -> Option<Outcome> {
        let id = ReplicationId::new(self.entity_type, self.entity, self.replica.clone());
        if id.is_err() || self.events.is_empty() {
            return Some(Outcome::Malformed);
        }
        if !self.places.contains_key(self.replica) {
            return Some(Outcome::UnknownReplica);
        }
        self.events.iter().find_map(|event| self.refusal_of(event))
    }

    fn refusal_of(&self, event: &StoredEvent) -> Option<Outcome> {
        let meta = &event.meta;
        let is_of_sender =
            self.places.get(&meta.origin).is_some_and(|place| **place == *self.sender);
        if meta.origin == *self.replica || !is_of_sender {
            return Some(Outcome::OtherOrigin);
        }
        if !has_numbers_of_its_writer(event) {
            return Some(Outcome::Impossible);
        }
        if meta.version.iter().any(|(replica, _)| !self.places.contains_key(replica)) {
            return Some(Outcome::UnknownReplica);
        }
        meta.timestamp.is_ahead_of(self.wall, self.time_skew_max).then_some(Outcome::Ahead)
    }
}

/// Returns whether the event can have these numbers when its writer has just stored it.
fn has_numbers_of_its_writer(event: &StoredEvent) -> bool {
    let (meta, number) = (&event.meta, event.sequence_nr.value());
    meta.origin_nr() > 0
        && number <= NUMBER_MAX
        && number == meta.version.event_count()
        && meta.source_seq == event.sequence_nr
}

#[cfg(test)]
mod tests {
    use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const WALL: u64 = 1_000_000_000;

    fn replica(name: &str) -> ReplicaId {
        ReplicaId::new(name).unwrap()
    }

    /// An event as its writer, a replica of the place `origin`, stores it.
    fn event(origin: &str, version: &[(&str, u64)]) -> StoredEvent {
        let version: antiphon_persistence::version::VersionVector =
            version.iter().map(|(name, count)| (replica(name), *count)).collect();
        let number = SequenceNr::new(version.event_count());
        StoredEvent {
            sequence_nr: number,
            meta: EventMeta {
                origin: replica(origin),
                version,
                source_seq: number,
                concurrent: false,
                timestamp: Timestamp::from_micros(WALL),
                labels: Labels::none(),
            },
            payload: Payload { codec: 1, manifest: "".into(), version: 1, bytes: "x".into() },
        }
    }

    /// The refusal of events that a node of `sender` sends to replica `to` of the entity.
    fn refusal(sender: &str, to: &str, entity: &str, events: &[StoredEvent]) -> Option<Outcome> {
        let places = ["A", "B", "C"].map(|name| (replica(name), Arc::from(name)));
        Arrival {
            sender,
            entity_type: "t",
            entity,
            replica: &replica(to),
            events,
            places: &places.into(),
            wall: Timestamp::from_micros(WALL),
            time_skew_max: SECOND,
        }
        .refusal()
    }

    #[test]
    fn events_of_a_replica_of_the_senders_place_are_taken() {
        let events = [event("A", &[("A", 1)]), event("A", &[("A", 2), ("B", 3), ("C", 1)])];
        assert_eq!(refusal("A", "B", "e-1", &events), None);
        assert_eq!(refusal("A", "C", "e-1", &events), None);
    }

    #[test]
    fn events_of_another_origin_are_refused() {
        let own = event("A", &[("A", 1)]);
        for (sender, to, forged) in [
            // an event of a third place, of the receiver itself, and of no replica at all
            ("A", "B", event("C", &[("C", 1)])),
            ("A", "B", event("B", &[("B", 1)])),
            ("A", "B", event("X", &[("X", 1)])),
            ("B", "A", event("A", &[("A", 1)])),
            ("X", "B", event("A", &[("A", 1)])),
        ] {
            let refused = refusal(sender, to, "e-1", std::slice::from_ref(&forged));
            assert_eq!(refused, Some(Outcome::OtherOrigin), "{sender} to {to}: {forged:?}");
        }
        let second = [own, event("C", &[("C", 1)])];
        assert_eq!(refusal("A", "B", "e-1", &second), Some(Outcome::OtherOrigin), "each counts");
    }

    #[test]
    fn a_message_without_events_or_for_no_entity_is_malformed() {
        let events = [event("A", &[("A", 1)])];
        assert_eq!(refusal("A", "B", "e-1", &[]), Some(Outcome::Malformed));
        assert_eq!(refusal("A", "B", "", &events), Some(Outcome::Malformed));
        assert_eq!(refusal("A", "B", "a|b", &events), Some(Outcome::Malformed));
        assert_eq!(refusal("A", "X", "e-1", &events), Some(Outcome::UnknownReplica));
    }

    #[test]
    fn numbers_that_no_writer_gives_are_impossible() {
        let good = || event("A", &[("A", 2), ("B", 1)]);
        let with = |change: fn(&mut StoredEvent)| {
            let mut event = good();
            change(&mut event);
            event
        };
        let most = NUMBER_MAX;
        for forged in [
            event("A", &[("B", 1)]),
            event("A", &[]),
            event("A", &[("A", u64::MAX)]),
            event("A", &[("A", most), ("B", 1)]),
            event("A", &[("A", u64::MAX), ("B", u64::MAX)]),
            with(|event| event.sequence_nr = SequenceNr::ZERO),
            with(|event| event.sequence_nr = SequenceNr::new(4)),
            with(|event| event.meta.source_seq = SequenceNr::new(2)),
            with(|event| event.meta.source_seq = SequenceNr::MAX),
        ] {
            let refused = refusal("A", "B", "e-1", &[good(), forged.clone()]);
            assert_eq!(refused, Some(Outcome::Impossible), "{forged:?}");
        }
        assert_eq!(refusal("A", "B", "e-1", &[event("A", &[("A", most)])]), None);
        let unknown_cause = [event("A", &[("A", 1), ("X", 1)])];
        assert_eq!(refusal("A", "B", "e-1", &unknown_cause), Some(Outcome::UnknownReplica));
    }

    #[test]
    fn an_event_whose_time_is_too_far_ahead_is_refused() {
        let at = |micros: u64| {
            let mut event = event("A", &[("A", 1)]);
            event.meta.timestamp = Timestamp::from_micros(micros);
            refusal("A", "B", "e-1", &[event])
        };
        assert_eq!(at(0), None);
        assert_eq!(at(WALL + 1_000_000), None);
        assert_eq!(at(WALL + 1_000_001), Some(Outcome::Ahead));
        assert_eq!(at(u64::MAX), Some(Outcome::Ahead));
    }
}
