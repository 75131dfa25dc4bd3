//! The bytes of this version of the control messages, as in `sharding/fixtures/wire-1.txt`: a name
//! and the bytes on each line.
//!
//! Later versions read these lines: a line is never changed, and a new message gets a new line.

use std::collections::BTreeMap;

use antiphon_base::time::Timestamp;
use antiphon_persistence::event::{
    EventMeta, Labels, Metadata, Payload, SequenceNr, StoredEvent, Tags,
};
use antiphon_persistence::identity::{PersistenceId, ReplicaId};
use antiphon_persistence::store::ReminderRow;
use antiphon_runtime::NodeId;
use bytes::Bytes;

use super::{Asker, HomesAnswer, ReachAnswer, Wire};
use crate::ShardId;
use crate::coordinator::{Home, Homes, HomesVersion};

fn fixtures() -> BTreeMap<&'static str, Bytes> {
    let lines = include_str!("../../fixtures/wire-1.txt").lines();
    lines
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, hex)| {
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            (name, (0..hex.len()).step_by(2).map(byte).collect())
        })
        .collect()
}

/// Compares the bytes of this version with the fixtures of a prefix, which must have no other
/// lines.
fn check(prefix: &str, written: &[(&str, Bytes)]) {
    let fixtures = fixtures();
    for (name, bytes) in written {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(fixtures.get(*name), Some(bytes), "expected the line\n{name} = {hex}\n");
    }
    let of_prefix = fixtures.keys().filter(|name| name.starts_with(prefix)).count();
    assert_eq!(of_prefix, written.len(), "a line of `{prefix}` that this version does not read");
}

fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).unwrap()
}

fn shard(number: u16) -> ShardId {
    ShardId { replica: replica("A"), number }
}

fn homes() -> Homes {
    let at = Home::At(NodeId::new("n", 4).unwrap());
    let moving = Home::Moving(NodeId::new("m", 5).unwrap(), HomesVersion { token: 7, change: 8 });
    Homes {
        version: HomesVersion { token: 7, change: 1000 },
        homes: [(shard(3), at), (shard(300), moving)].into(),
    }
}

fn event() -> StoredEvent {
    StoredEvent {
        sequence_nr: SequenceNr::new(5),
        meta: EventMeta {
            origin: replica("A"),
            version: [(replica("A"), 2), (replica("B"), 1)].into_iter().collect(),
            source_seq: SequenceNr::new(4),
            concurrent: false,
            timestamp: Timestamp::from_micros(1_000_000),
            labels: Labels::none(),
        },
        payload: Payload {
            codec: 1,
            manifest: "added".into(),
            version: 1,
            bytes: Bytes::from_static(b"xy"),
        },
    }
}

/// The same event with metadata and a tag.
fn labelled() -> StoredEvent {
    let mut event = event();
    let metadata = Metadata::new().with("k", "v").unwrap();
    event.meta.labels = Labels::new(metadata, Tags::from(["t"])).unwrap();
    event
}

/// Every message, as in the line of its name.
fn messages() -> Vec<Wire> {
    vec![
        Wire::Homes { entity_type: "counter".into(), place: "A".into(), homes: homes() },
        Wire::AskHomes {
            entity_type: "counter".into(),
            known: homes().version,
            asker: Asker::Host,
        },
        Wire::ShardStopped {
            entity_type: "counter".into(),
            shard: shard(300),
            id: HomesVersion { token: 7, change: 8 },
        },
        Wire::Replicate {
            entity_type: "counter".into(),
            entity_id: "c-1".into(),
            replica: replica("B"),
            events: vec![event()],
        },
        Wire::Replicate {
            entity_type: "counter".into(),
            entity_id: "c-1".into(),
            replica: replica("B"),
            events: vec![labelled()],
        },
        Wire::WayOpened { entity_type: "counter".into(), shard: shard(300), from: replica("B") },
        Wire::AskReach { entity_type: "counter".into(), node: NodeId::new("n", 4).unwrap() },
        Wire::ReminderDue {
            entity_type: "counter".into(),
            row: ReminderRow {
                due: Timestamp::from_micros(1_000_000),
                persistence_id: PersistenceId::parse("counter|c-1|A").unwrap(),
                name: "expire".into(),
                set_by: SequenceNr::new(5),
            },
        },
    ]
}

fn has_labels(event: &StoredEvent) -> bool {
    !event.meta.labels.is_empty()
}

fn name(message: &Wire) -> &'static str {
    match message {
        Wire::Homes { .. } => "control.homes",
        Wire::AskHomes { .. } => "control.ask_homes",
        Wire::ShardStopped { .. } => "control.shard_stopped",
        Wire::Replicate { events, .. } if events.iter().any(has_labels) => {
            "control.replicate_labels"
        }
        Wire::Replicate { .. } => "control.replicate",
        Wire::WayOpened { .. } => "control.way_opened",
        Wire::AskReach { .. } => "control.ask_reach",
        Wire::ReminderDue { .. } => "control.reminder_due",
    }
}

#[test]
fn control_messages_are_those_of_the_fixtures() {
    let written: Vec<_> =
        messages().iter().map(|message| (name(message), message.encode())).collect();
    check("control.", &written);
    for message in messages() {
        assert_eq!(Wire::decode(&fixtures()[name(&message)]).unwrap(), message);
    }
}

#[test]
fn answers_are_those_of_the_fixtures() {
    let all = [
        ("homes.not_coordinator", HomesAnswer::NotCoordinator),
        ("homes.unchanged", HomesAnswer::Unchanged),
        ("homes.changed", HomesAnswer::Changed(homes())),
    ];
    check("homes.", &all.each_ref().map(|(name, answer)| (*name, answer.encode())));
    for (name, answer) in all {
        assert_eq!(HomesAnswer::decode(&fixtures()[name]).unwrap(), answer);
    }
    let all = [
        ("reach.not_connected", ReachAnswer::NotConnected),
        ("reach.connected", ReachAnswer::Connected),
    ];
    check("reach.", &all.map(|(name, answer)| (name, answer.encode())));
    for (name, answer) in all {
        assert_eq!(ReachAnswer::decode(&fixtures()[name]).unwrap(), answer);
    }
}
