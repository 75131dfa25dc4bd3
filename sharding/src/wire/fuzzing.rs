//! The messages between nodes about shards, for the fuzzing in `fuzz`.

use antiphon_base::fuzzing::{Bounds, Check, Decoder, round_trip};
use antiphon_persistence::event::Metadata;
use antiphon_runtime::NodeId;
use bytes::Bytes;

use super::answer::{Answer, read_answer, write_answers};
use super::{HomesAnswer, ReachAnswer, Wire, WireCommand, hops};
use crate::ShardId;

/// Messages between nodes.
pub const MESSAGES: &[Decoder] = &[
    Decoder {
        name: "control",
        decode: |bytes| {
            let message = Wire::decode(bytes).ok()?;
            Some(round_trip(message, Wire::encode, |bytes| Wire::decode(&bytes).ok()))
        },
        seeds: || fixtures("control."),
        // an origin of a version is one byte, and an entry of 32 bytes
        bounds: Bounds::new(16 * 1024, 256),
    },
    Decoder {
        name: "homes_answer",
        decode: |bytes| {
            let answer = HomesAnswer::decode(bytes).ok()?;
            Some(round_trip(answer, HomesAnswer::encode, |bytes| HomesAnswer::decode(&bytes).ok()))
        },
        seeds: || fixtures("homes."),
        bounds: Bounds::new(16 * 1024, 256),
    },
    Decoder {
        name: "reach_answer",
        decode: |bytes| {
            let answer = ReachAnswer::decode(bytes).ok()?;
            let decode = |bytes: Bytes| ReachAnswer::decode(&bytes).ok();
            Some(round_trip(answer, |answer| answer.encode(), decode))
        },
        seeds: || fixtures("reach."),
        bounds: Bounds::new(4096, 8),
    },
    Decoder {
        name: "wire_command",
        decode: command,
        seeds: || {
            let metadata = Metadata::new().with("k", "vw").expect("metadata");
            let command = WireCommand {
                hops: 1,
                replies: 2,
                time_left: Some(std::time::Duration::from_millis(258)),
                entity_type: "type".into(),
                entity_id: "id".into(),
                replica: "".into(),
                metadata: Metadata::new(),
                askers: None,
                session: None,
                command: Bytes::from_static(b"xy"),
            };
            let labelled = WireCommand { metadata, ..command.clone() };
            vec![command.encode().to_vec(), labelled.encode().to_vec()]
        },
        // an entry of metadata is three bytes, and 32 in memory beside its texts
        bounds: Bounds::new(4096, 64),
    },
    Decoder {
        name: "answers",
        decode: answers,
        seeds: || {
            use antiphon_persistence::reply::ReplyError::{NoReply, Rejected};
            let all = [Ok(Bytes::from_static(b"x")), Err(Rejected("ü\n".into())), Err(NoReply)];
            vec![write_answers(all.iter()).to_vec()]
        },
        // an answer of five bytes is 56 in memory, and its escaped text is longer
        bounds: Bounds::new(16 * 1024, 64),
    },
    Decoder {
        name: "home",
        decode: home,
        seeds: || vec![b"DC/A/7\nnode-1@42".to_vec()],
        bounds: Bounds::new(16 * 1024, 8),
    },
];

/// The bytes in `sharding/fixtures/wire-1.txt` whose names have this prefix.
fn fixtures(prefix: &str) -> Vec<Vec<u8>> {
    let lines = include_str!("../../fixtures/wire-1.txt").lines();
    let lines = lines.filter_map(|line| line.strip_prefix(prefix)?.split_once(" = "));
    lines
        .map(|(_, hex)| {
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            (0..hex.len()).step_by(2).map(byte).collect()
        })
        .collect()
}

fn command(bytes: &[u8]) -> Option<Check> {
    let command = WireCommand::decode(Bytes::copy_from_slice(bytes)).ok()?;
    let passed_on = [hops::next(command.hops), hops::next_for_relay(command.hops)];
    assert!(hops::is_valid(command.hops), "hops {}", command.hops);
    let is_last = hops::is_spent(command.hops);
    assert!(is_last || passed_on.into_iter().all(hops::is_valid), "hops {passed_on:?}");
    Some(round_trip(command, WireCommand::encode, |bytes| WireCommand::decode(bytes).ok()))
}

fn answers(bytes: &[u8]) -> Option<Check> {
    let mut rest = Bytes::copy_from_slice(bytes);
    let answers: Vec<Answer> = std::iter::from_fn(|| read_answer(&mut rest)).collect();
    if answers.is_empty() {
        return None;
    }
    Some(Box::new(move || {
        let mut written = write_answers(answers.iter());
        for answer in &answers {
            let again = read_answer(&mut written).expect("as many answers");
            assert_eq!(again.is_ok(), answer.is_ok());
            assert!(again.is_err() || again == *answer, "an answer is read back");
        }
        assert!(written.is_empty(), "no more answers");
    }))
}

/// A row of homes: its key, a line break, and its value.
fn home(bytes: &[u8]) -> Option<Check> {
    let (key, value) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let shard: ShardId = key.parse().ok()?;
    let node: NodeId = value.parse().ok()?;
    let check = round_trip(shard, ShardId::to_string, |text| text.parse().ok());
    let node = round_trip(node, NodeId::to_string, |text| text.parse().ok());
    Some(Box::new(move || {
        check();
        node();
    }))
}
