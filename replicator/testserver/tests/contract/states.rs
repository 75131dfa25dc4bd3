//! Answers of a stream in each state to appends, deletions and reads, as of a real server: a new
//! stream, one with events, a truncated one, a deleted one, one with metadata only, and one with a
//! tombstone.

use antiphon_eventstore::{
    AppendOutcome, Direction, ErrorKind, EventStoreClient, ExpectedRevision, NewEvent, Position,
    ReadFrom, StreamMetadata,
};

use crate::support::{append, client, events, fails, server};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Live,
    Truncated,
    Deleted,
    DescribedOnly,
    Tombstoned,
}

const STATES: [State; 6] = [
    State::New,
    State::Live,
    State::Truncated,
    State::Deleted,
    State::DescribedOnly,
    State::Tombstoned,
];

const EXPECTED: [ExpectedRevision; 5] = [
    ExpectedRevision::Any,
    ExpectedRevision::NoStream,
    ExpectedRevision::StreamExists,
    ExpectedRevision::Exact(2),
    ExpectedRevision::Exact(0),
];

/// Brings a new stream into a state; its last event is number 2, if it has events.
async fn bring(client: &EventStoreClient, stream: &str, state: State) {
    let any = ExpectedRevision::Any;
    let describe = async |metadata: StreamMetadata| {
        client.set_stream_metadata(stream, any, &metadata.properties).await.unwrap();
    };
    let empty = StreamMetadata::default;
    match state {
        State::New => {}
        State::DescribedOnly => describe(empty().with("owner", "me".into())).await,
        State::Live => append(client, stream, 3).await,
        State::Truncated => {
            append(client, stream, 3).await;
            describe(empty().with_truncate_before(3)).await;
        }
        State::Deleted => {
            append(client, stream, 3).await;
            client.delete_stream(stream, any).await.unwrap();
        }
        State::Tombstoned => {
            append(client, stream, 3).await;
            client.tombstone_stream(stream, any).await.unwrap();
        }
    }
}

/// An answer in a word.
fn word(outcome: antiphon_eventstore::Result<AppendOutcome>) -> String {
    match outcome {
        Ok(AppendOutcome::Written { next_revision, .. }) => next_revision.to_string(),
        Ok(AppendOutcome::WrongExpectedRevision { current: Some(current) }) => {
            format!("not {current}")
        }
        Ok(AppendOutcome::WrongExpectedRevision { current: None }) => "not none".to_owned(),
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &antiphon_eventstore::Error) -> String {
    let words = [
        (ErrorKind::StreamDeleted, "dead"),
        (ErrorKind::NotFound, "missing"),
        (ErrorKind::Rejected, "refused"),
    ];
    let word = words.iter().find(|(kind, _)| *kind == error.kind());
    word.map_or_else(|| error.to_string(), |(_, word)| (*word).to_owned())
}

#[tokio::test]
async fn an_append_has_the_answer_of_the_state_and_of_the_expected_revision() {
    let server = server().await;
    let client = client(&server);
    // any revision, no stream, a stream that exists, revision 2, revision 0
    let right = [
        (State::New, ["0", "0", "not none", "not none", "not none"]),
        (State::Live, ["3", "not 2", "3", "3", "not 2"]),
        (State::Truncated, ["3", "not 2", "3", "3", "not 2"]),
        (State::Deleted, ["3", "3", "dead", "3", "not 2"]),
        (State::DescribedOnly, ["0", "0", "0", "not none", "not none"]),
        (State::Tombstoned, ["dead"; 5]),
    ];
    let appender = client.appender(1).await.unwrap();
    for (state, right) in right {
        for (number, (expected, right)) in EXPECTED.into_iter().zip(right).enumerate() {
            let name = |how: &str| format!("{state:?}{how}{number}");
            bring(&client, &name("one"), state).await;
            let outcome = word(client.append(&name("one"), expected, events(1)).await);
            assert_eq!(outcome, right, "{state:?} {expected:?}");
            bring(&client, &name("batch"), state).await;
            let outcome = word(appender.append(&name("batch"), expected, events(1)).await);
            assert_eq!(outcome, right, "batch, {state:?} {expected:?}");
        }
    }
}

#[tokio::test]
async fn a_deletion_has_the_answer_of_the_state_and_of_the_expected_revision() {
    let server = server().await;
    let client = client(&server);
    let right = [
        (State::New, ["refused"; 5], ["done", "done", "refused", "refused", "refused"]),
        (State::Live, ["done", "refused", "done", "done", "refused"], [""; 5]),
        (State::Truncated, ["done", "refused", "done", "done", "refused"], [""; 5]),
        (State::Deleted, ["done", "done", "dead", "done", "refused"], [""; 5]),
        (State::DescribedOnly, ["done", "done", "done", "refused", "refused"], [""; 5]),
        (State::Tombstoned, ["dead"; 5], [""; 5]),
    ];
    for (state, soft, hard) in right {
        // a tombstone is as a deletion, except that a stream that never was can have one
        let hard = if hard == [""; 5] { soft } else { hard };
        for (number, expected) in EXPECTED.into_iter().enumerate() {
            let name = |how: &str| format!("{state:?}{how}{number}");
            let said = |done: antiphon_eventstore::Result<Option<Position>>| match done {
                Ok(position) => {
                    assert!(position.is_some(), "{state:?} {expected:?}");
                    "done".to_owned()
                }
                Err(error) => refusal(&error),
            };
            bring(&client, &name("soft"), state).await;
            let deleted = said(client.delete_stream(&name("soft"), expected).await);
            assert_eq!(deleted, soft[number], "delete, {state:?} {expected:?}");
            bring(&client, &name("hard"), state).await;
            let deleted = said(client.tombstone_stream(&name("hard"), expected).await);
            assert_eq!(deleted, hard[number], "tombstone, {state:?} {expected:?}");
        }
    }
}

#[tokio::test]
async fn a_read_has_the_answer_of_the_state() {
    let server = server().await;
    let client = client(&server);
    let right = ["missing", "3 events", "0 events", "missing", "missing", "dead"];
    for (state, right) in STATES.into_iter().zip(right) {
        let name = format!("{state:?}");
        bring(&client, &name, state).await;
        for direction in [Direction::Forwards, Direction::Backwards] {
            let from =
                if direction == Direction::Forwards { ReadFrom::Start } else { ReadFrom::End };
            let read = client.read_stream(&name, direction, from, 9, false).await.unwrap();
            let said = match read.collect().await {
                Ok(events) => format!("{} events", events.len()),
                Err(error) => refusal(&error),
            };
            assert_eq!(said, right, "{state:?} {direction:?}");
        }
        // the metadata is read as a stream of its own, which dies with a tombstone
        let metadata = client.stream_metadata(&name).await;
        match state {
            State::Tombstoned => assert_eq!(refusal(&metadata.unwrap_err()), "dead"),
            State::New | State::Live => assert_eq!(metadata.unwrap(), StreamMetadata::default()),
            State::Truncated | State::Deleted | State::DescribedOnly => {
                assert_eq!(metadata.unwrap().revision, Some(0));
            }
        }
    }
}

#[tokio::test]
async fn deleting_a_stream_that_never_was_is_refused_and_writes_nothing() {
    let server = server().await;
    let client = client(&server);
    let refused = client.delete_stream("a", ExpectedRevision::Any).await;
    let why = "the stream is not at the expected revision (expected any, actual no stream)";
    fails(refused, ErrorKind::Rejected, &format!("delete stream `a`: {why}"));
    assert_eq!(server.log_length(), 0);
}

#[tokio::test]
async fn metadata_of_a_tombstoned_stream_is_refused() {
    let server = server().await;
    let client = client(&server);
    bring(&client, "a", State::Tombstoned).await;
    let length = server.log_length();
    let metadata = StreamMetadata::default().with_max_count(4).properties;
    let refused = client.set_stream_metadata("a", ExpectedRevision::Any, &metadata).await;
    let why = "the stream was deleted for ever (tombstone)";
    fails(refused, ErrorKind::StreamDeleted, &format!("append to stream `$$a`: {why}"));
    let refused = client.stream_metadata("a").await;
    fails(refused, ErrorKind::StreamDeleted, &format!("read stream `$$a`: {why}"));
    assert_eq!(server.log_length(), length);

    // a real server does not notice the tombstone when there was metadata, but shows none
    client.set_stream_metadata("b", ExpectedRevision::Any, &metadata).await.unwrap();
    client.tombstone_stream("b", ExpectedRevision::Any).await.unwrap();
    let set = client.set_stream_metadata("b", ExpectedRevision::Exact(0), &metadata).await;
    assert_eq!(word(set), "1");
    assert_eq!(refusal(&client.stream_metadata("b").await.unwrap_err()), "dead");
}

#[tokio::test]
async fn a_stream_that_was_expected_to_exist_and_is_deleted_is_told_as_such() {
    let server = server().await;
    let client = client(&server);
    bring(&client, "a", State::Deleted).await;
    let exists = ExpectedRevision::StreamExists;
    let why = "the stream is deleted, softly or for ever";
    let refused = client.append("a", exists, events(1)).await;
    fails(refused, ErrorKind::StreamDeleted, &format!("append to stream `a`: {why}"));
    let appender = client.appender(1).await.unwrap();
    let refused = appender.append("a", exists, events(1)).await;
    fails(refused, ErrorKind::StreamDeleted, &format!("append to stream `a`: {why}"));
    let refused = client.delete_stream("a", exists).await;
    fails(refused, ErrorKind::StreamDeleted, &format!("delete stream `a`: {why}"));
    let refused = client.tombstone_stream("a", exists).await;
    fails(refused, ErrorKind::StreamDeleted, &format!("tombstone stream `a`: {why}"));
}

#[tokio::test]
async fn a_deletion_replaces_all_metadata_and_the_next_event_brings_the_stream_back() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 3).await;
    let metadata = StreamMetadata::default().with("owner", "me".into()).with_max_count(1);
    let any = ExpectedRevision::Any;
    client.set_stream_metadata("a", any, &metadata.properties).await.unwrap();
    client.delete_stream("a", any).await.unwrap();
    let newest = async || client.newest("$$a").await.unwrap().unwrap().event.unwrap();
    assert_eq!(newest().await.data, r#"{"$tb":9223372036854775807}"#);
    append(&client, "a", 2).await;
    assert_eq!(newest().await.data, r#"{"$tb":3}"#);
    assert_eq!(crate::support::numbers(&client, "a").await, [3, 4]);
}

#[tokio::test]
async fn metadata_for_a_deleted_stream_brings_it_back_without_its_events() {
    let server = server().await;
    let client = client(&server);
    bring(&client, "a", State::Deleted).await;
    let any = ExpectedRevision::Any;
    let odd = NewEvent::json("$metadata", r#"{"z":1.5, "a": 12345678901234567890123}"#);
    client.append("$$a", any, vec![odd]).await.unwrap();
    let newest = client.newest("$$a").await.unwrap().unwrap().event.unwrap();
    // in the order of the writer, with its numbers
    assert_eq!(newest.data, r#"{"z":1.5,"a":12345678901234567890123,"$tb":3}"#);
    let all = crate::support::read(&client, "a", false).await;
    assert_eq!(all.len(), 0, "it exists, and is empty");
    append(&client, "a", 1).await;
    assert_eq!(crate::support::numbers(&client, "a").await, [3]);
}

#[tokio::test]
async fn the_tombstone_is_an_event_with_the_greatest_number() {
    let server = server().await;
    let client = client(&server);
    bring(&client, "a", State::Tombstoned).await;
    let last = client.newest("$all").await.unwrap().unwrap().event.unwrap();
    assert_eq!((&*last.stream, &*last.event_type), ("a", "$streamDeleted"));
    assert_eq!(last.revision, i64::MAX.cast_unsigned());
    assert!(!last.is_json && last.data.is_empty());
}

#[tokio::test]
async fn an_event_of_the_type_of_a_tombstone_is_none() {
    let server = server().await;
    let client = client(&server);
    let any = ExpectedRevision::Any;
    client.append("a", any, vec![NewEvent::json("$streamDeleted", "{}")]).await.unwrap();
    append(&client, "a", 1).await;
    assert_eq!(crate::support::numbers(&client, "a").await, [0, 1]);
}

#[tokio::test]
async fn a_tombstone_stays_after_a_restart_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = Some(folder.path().join("store").display().to_string());
    let settings = antiphon_eventstore_testserver::ServerSettings { file, ..Default::default() };
    let server = crate::support::server_with(settings.clone()).await;
    bring(&client(&server), "a", State::Tombstoned).await;
    drop(server);
    let server = crate::support::server_with(settings).await;
    let client = client(&server);
    let last = client.newest("$all").await.unwrap().unwrap().event.unwrap();
    assert_eq!(last.revision, i64::MAX.cast_unsigned());
    assert_eq!(word(client.append("a", ExpectedRevision::Any, events(1)).await), "dead");
}

#[tokio::test]
async fn a_repeated_append_to_a_deleted_or_truncated_stream_writes_nothing() {
    let server = server().await;
    let client = client(&server);
    let (none, any) = (ExpectedRevision::NoStream, ExpectedRevision::Any);
    for stream in ["deleted", "truncated"] {
        let batch = events(3);
        client.append(stream, none, batch.clone()).await.unwrap();
        if stream == "deleted" {
            client.delete_stream(stream, any).await.unwrap();
        } else {
            let metadata = StreamMetadata::default().with_truncate_before(3).properties;
            client.set_stream_metadata(stream, any, &metadata).await.unwrap();
        }
        let length = server.log_length();
        // the position of events that cannot be read is not known
        let repeated = AppendOutcome::Written { next_revision: 2, position: None };
        for expected in [none, any] {
            let outcome = client.append(stream, expected, batch.clone()).await.unwrap();
            assert_eq!(outcome, repeated, "{stream} {expected:?}");
        }
        let mut longer = batch;
        longer.extend(events(1));
        let outcome = word(client.append(stream, none, longer).await);
        assert_eq!(outcome, "not 2", "{stream}");
        assert_eq!(server.log_length(), length, "{stream}");
    }
}

#[tokio::test]
async fn a_stream_of_metadata_shows_only_its_newest_event() {
    let server = server().await;
    let client = client(&server);
    for count in 1..4 {
        let metadata = StreamMetadata::default().with_max_count(count).properties;
        client.set_stream_metadata("a", ExpectedRevision::Any, &metadata).await.unwrap();
    }
    assert_eq!(crate::support::numbers(&client, "$$a").await, [2]);
}

#[tokio::test]
async fn metadata_that_a_real_server_ignores_sets_no_limit() {
    let server = server().await;
    let client = client(&server);
    let json = |data: &str| NewEvent::json("$metadata", data.to_owned());
    let ignored = [
        NewEvent::binary("$metadata", r#"{"$maxCount":1}"#),
        json(r#"{"$maxCount":0}"#),
        json(r#"{"$maxCount":-1}"#),
        json(r#"{"$maxCount":1.0}"#),
        json(r#"{"$maxCount":"1"}"#),
        json(r#"{"$maxAge":0}"#),
        json(r#"{"$tb":-1}"#),
        // one value that cannot be read makes all of it void
        json(r#"{"$maxCount":1,"$tb":1.5}"#),
        json(r#"{"$maxCount":1,"$tb":9223372036854775808}"#),
        json(r#"{"$maxCount":1,"$acl":[]}"#),
        json("[1]"),
        json(""),
    ];
    for (number, metadata) in ignored.into_iter().enumerate() {
        let stream = format!("s{number}");
        append(&client, &stream, 2).await;
        let described = format!("{metadata:?}");
        client.append(&format!("$${stream}"), ExpectedRevision::Any, vec![metadata]).await.unwrap();
        assert_eq!(crate::support::numbers(&client, &stream).await, [0, 1], "{described}");
    }
}
