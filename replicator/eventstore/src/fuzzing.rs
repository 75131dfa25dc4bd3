//! The decoders of this crate, for the fuzzing in `fuzz`.

use antiphon_base::fuzzing::{Bounds, Check, Decoder, nothing_more};
use bytes::Bytes;
use prost::Message;
use tonic::metadata::{AsciiMetadataKey, MetadataMap};
use tonic::{Code, Status};

use crate::connection_string::{ConnectionString, NodePreference};
use crate::group_settings::GroupInfo;
use crate::settings::ClientSettings;
use crate::wire::gossip::ClusterInfo;
use crate::wire::persistent_subscriptions as groups;
use crate::wire::streams::{self, BatchAppendResp};
use crate::wire::{self, Empty};
use crate::{appender, consumer, discovery, read, status};

/// Connection strings.
pub const CONNECTIONS: &[Decoder] = &[Decoder {
    name: "connection_string",
    decode: connection,
    seeds: || {
        let all = [
            "esdb+discover://admin:changeit@host:2113?tls=false&keepAliveInterval=-1",
            "kurrentdb://a,[::1]:2113,b:1?nodePreference=follower&connectionName=a%20b",
        ];
        all.map(|text| text.as_bytes().to_vec()).into()
    },
    bounds: Bounds::new(16 * 1024, 128),
}];

/// Messages of an event store.
pub const MESSAGES: &[Decoder] = &[
    Decoder {
        name: "read_answer",
        decode: |bytes| {
            let answer = streams::ReadResp::decode(bytes).ok()?;
            let streams::read_resp::Content::Event(event) = answer.content? else { return None };
            Some(nothing_more(read::resolved(event).ok()?))
        },
        seeds: || {
            use streams::read_resp::{Content, Event, event::Position};
            let (event, link) = (Some(recorded()), Some(recorded()));
            let event = Event { event, link, position: Some(Position::CommitPosition(7)) };
            vec![streams::ReadResp { content: Some(Content::Event(event)) }.encode_to_vec()]
        },
        // an entry of the properties of an event is two bytes, and two texts
        bounds: Bounds::new(16 * 1024, 256),
    },
    Decoder {
        name: "group_answer",
        decode: |bytes| {
            let answer = groups::ReadResp::decode(bytes).ok()?;
            let groups::read_resp::Content::Event(event) = answer.content? else { return None };
            Some(nothing_more(consumer::group_event(event).ok()?))
        },
        seeds: || {
            use groups::read_resp::{Content, Event, event::Count, event::Position};
            let (event, link) = (Some(recorded()), Some(recorded()));
            let (position, count) =
                (Some(Position::NoPosition(Empty {})), Some(Count::RetryCount(3)));
            let event = Event { event, link, position, count };
            vec![groups::ReadResp { content: Some(Content::Event(event)) }.encode_to_vec()]
        },
        bounds: Bounds::new(16 * 1024, 256),
    },
    Decoder {
        name: "append_answer",
        decode: |bytes| {
            let answer = BatchAppendResp::decode(bytes).ok()?;
            Some(nothing_more(appender::outcome(answer).ok()?))
        },
        seeds: || {
            let current = Some(wire::wrong_expected_version::Current::CurrentRevision(7));
            let wrong = wire::WrongExpectedVersion { current, ..Default::default() };
            let details = wire::Any {
                type_url: "a/b.WrongExpectedVersion".into(),
                value: wrong.encode_to_vec().into(),
            };
            let message = "wrong".to_owned();
            let status =
                streams::batch_append_resp::Status { code: 9, message, details: Some(details) };
            let result = Some(streams::batch_append_resp::Result::Error(status));
            vec![BatchAppendResp { result, ..Default::default() }.encode_to_vec()]
        },
        bounds: Bounds::new(16 * 1024, 128),
    },
    Decoder {
        name: "gossip",
        decode: |bytes| {
            let ClusterInfo { members } = ClusterInfo::decode(bytes).ok()?;
            let preferences = [NodePreference::Leader, NodePreference::ReadOnlyReplica];
            let chosen = preferences.map(|by| discovery::choose(&members, by, members.len()));
            chosen.iter().any(Option::is_some).then(|| nothing_more(chosen))
        },
        seeds: || {
            let http_end_point =
                Some(wire::gossip::EndPoint { address: "n".to_owned(), port: 2113 });
            let member = wire::gossip::Member {
                state: 8,
                is_alive: true,
                http_end_point,
                ..Default::default()
            };
            vec![ClusterInfo { members: vec![member.clone(), member] }.encode_to_vec()]
        },
        // a member of two bytes is a structure of 120
        bounds: Bounds::new(16 * 1024, 256),
    },
    Decoder {
        name: "group_info",
        decode: |bytes| {
            let info = groups::GetInfoResp::decode(bytes).ok()?.info?;
            Some(nothing_more(GroupInfo::from_wire(info)))
        },
        seeds: || {
            let info = groups::GroupInfo { event_source: "s".into(), ..Default::default() };
            vec![groups::GetInfoResp { info: Some(info) }.encode_to_vec()]
        },
        bounds: Bounds::new(16 * 1024, 256),
    },
    Decoder {
        name: "trailers",
        decode: trailers,
        seeds: || vec![b"9\nexception: not-leader\nleader-endpoint-host: n\n".to_vec()],
        bounds: Bounds::new(64 * 1024, 256),
    },
];

fn recorded() -> wire::RecordedEvent {
    let system = [("type", "Created"), ("content-type", "application/json"), ("created", "17")];
    wire::RecordedEvent {
        id: Some(uuid::Uuid::from_u128(7).into()),
        stream: Some("a-1".into()),
        revision: 3,
        system: system.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        metadata: Bytes::from_static(b"{}"),
        data: Bytes::from_static(b"{\"n\":1}"),
        ..Default::default()
    }
}

/// A word that no input has by chance.
const SECRET: &str = "S3cretPassw0rd";

/// A connection string, alone and behind a password, which no error and no output shows.
fn connection(bytes: &[u8]) -> Option<Check> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains(SECRET))?;
    let hidden = |shown: String| assert!(!shown.contains(SECRET), "a password is shown: {shown}");
    for scheme in ["esdb://admin", "ConnectTo=tcp://admin", "DefaultUserCredentials=admin"] {
        match ConnectionString::parse(&format!("{scheme}:{SECRET}@{text}")) {
            Ok(parsed) => hidden(format!("{parsed} {parsed:?}")),
            Err(error) => hidden(error.to_string()),
        }
    }
    let parsed = ConnectionString::parse(text).ok()?;
    assert!(!parsed.nodes.is_empty(), "a node at least");
    Some(nothing_more(parsed.applied_to(ClientSettings::default())))
}

/// A status: its code, and a trailer on each line after it.
fn trailers(bytes: &[u8]) -> Option<Check> {
    let (code, lines) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let mut metadata = MetadataMap::new();
    for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) =
            (AsciiMetadataKey::from_bytes(name.as_bytes()), value.parse())
        {
            metadata.insert(name, value);
        }
    }
    let code = Code::from(code.parse::<i32>().ok()?);
    let failure = status::failure("append", Status::with_metadata(code, "why", metadata));
    Some(nothing_more(failure))
}
