//! Appends: revisions, repetition, deletion.

use antiphon_eventstore::{
    AppendOutcome, Direction, ErrorKind, ExpectedRevision, NewEvent, ReadFrom,
};

use crate::support::{append, client, events, fails, numbers, read, server, soon, written};

#[tokio::test]
async fn an_append_says_where_it_wrote() {
    let server = server().await;
    let client = client(&server);

    let first = client.append("a", ExpectedRevision::NoStream, events(3)).await.unwrap();
    let AppendOutcome::Written { next_revision, position } = first else { panic!("{first:?}") };
    assert_eq!(next_revision, 2);

    let last = client.newest("a").await.unwrap().unwrap().event.unwrap();
    assert_eq!(Some(last.position), position);
    assert_eq!((last.revision, &*last.data), (2, b"2".as_slice()));
}

#[tokio::test]
async fn an_unexpected_revision_is_an_outcome_that_tells_the_current_one() {
    let server = server().await;
    let client = client(&server);
    let missing = client.append("a", ExpectedRevision::Exact(4), events(1)).await.unwrap();
    assert_eq!(missing, AppendOutcome::WrongExpectedRevision { current: None });
    append(&client, "a", 2).await;
    for expected in
        [ExpectedRevision::NoStream, ExpectedRevision::Exact(0), ExpectedRevision::Exact(7)]
    {
        let outcome = client.append("a", expected, events(1)).await.unwrap();
        assert_eq!(
            outcome,
            AppendOutcome::WrongExpectedRevision { current: Some(1) },
            "{expected:?}"
        );
    }
    let other = client.append("b", ExpectedRevision::StreamExists, events(1)).await.unwrap();
    assert_eq!(other, AppendOutcome::WrongExpectedRevision { current: None });
}

#[tokio::test]
async fn a_repeated_append_writes_nothing_and_succeeds() {
    let server = server().await;
    let client = client(&server);
    let batch = events(3);
    let before = |expected| client.append("a", expected, batch.clone());
    let first = before(ExpectedRevision::NoStream).await.unwrap();
    append(&client, "a", 2).await;

    // with the position of the events, as the first time
    assert_eq!(before(ExpectedRevision::NoStream).await.unwrap(), first);
    assert_eq!(before(ExpectedRevision::Any).await.unwrap(), first);
    assert!(written(2, first).is_some());

    // a part of the events is there already
    let mut longer = batch[2..].to_vec();
    longer.extend(events(4));
    let mixed = client.append("a", ExpectedRevision::Exact(1), longer).await.unwrap();
    assert_eq!(mixed, AppendOutcome::WrongExpectedRevision { current: Some(4) });

    let mut half = batch[2..].to_vec();
    half.extend(events(1));
    let mixed = client.append("a", ExpectedRevision::Any, half).await.unwrap();
    assert_eq!(mixed, AppendOutcome::WrongExpectedRevision { current: Some(4) });
    // the same ids in another stream are different events
    assert!(
        written(2, client.append("b", ExpectedRevision::Any, batch.clone()).await.unwrap())
            .is_some()
    );

    // with the right revision even a known id is written: the server's rule
    let again = client.append("a", ExpectedRevision::Exact(4), batch[..1].to_vec()).await.unwrap();
    assert!(written(5, again).is_some());
}

#[tokio::test]
async fn everything_of_an_event_comes_back_as_it_was_given() {
    let server = server().await;
    let client = client(&server);
    let odd_json = NewEvent::json("t", " {\"b\": 1,  \"a\":2 }\n").with_metadata("{ }");
    let binary = NewEvent::binary("ü-type", vec![0, 255, 128]).with_metadata(vec![1, 2]);
    let no_json = NewEvent::json("t", "not json at all");
    let empty = NewEvent::binary("empty", "");
    let given = vec![odd_json, binary, no_json, empty];
    client.append("stream-ü", ExpectedRevision::NoStream, given.clone()).await.unwrap();

    let read = read(&client, "stream-ü", false).await;
    assert_eq!(read.len(), given.len());
    for (given, read) in given.iter().zip(read) {
        let read = read.event.unwrap();
        assert_eq!((read.id, &read.event_type), (given.id, &given.event_type));
        assert_eq!((read.is_json, &read.data), (given.is_json, &given.data));
        assert_eq!((&read.metadata, &*read.stream), (&given.metadata, "stream-ü"));
    }
}

#[tokio::test]
async fn a_deleted_stream_goes_on_with_its_numbers_and_a_tombstoned_one_never_does() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 3).await;

    client.delete_stream("a", ExpectedRevision::Exact(2)).await.unwrap();
    let read = || client.read_stream("a", Direction::Forwards, ReadFrom::Start, 9, false);
    let gone = read().await.unwrap().collect().await;
    fails(gone, ErrorKind::NotFound, "read stream `a`: the stream does not exist");
    let revived = client.append("a", ExpectedRevision::NoStream, events(1)).await.unwrap();
    assert!(written(3, revived).is_some());
    assert_eq!(numbers(&client, "a").await, [3]);

    client.tombstone_stream("a", ExpectedRevision::Any).await.unwrap();
    let why = "the stream was deleted for ever (tombstone)";
    let refused = client.append("a", ExpectedRevision::Any, events(1)).await;
    fails(refused, ErrorKind::StreamDeleted, &format!("append to stream `a`: {why}"));
    let refused = soon(read().await.unwrap().collect()).await;
    fails(refused, ErrorKind::StreamDeleted, &format!("read stream `a`: {why}"));
    let refused = client.delete_stream("a", ExpectedRevision::Any).await;
    fails(refused, ErrorKind::StreamDeleted, &format!("delete stream `a`: {why}"));
}

#[tokio::test]
async fn deleting_at_the_wrong_revision_is_rejected() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 1).await;
    let refused = client.delete_stream("a", ExpectedRevision::Exact(5)).await;
    let why = "the stream is not at the expected revision (expected 5, actual 0)";
    fails(refused, ErrorKind::Rejected, &format!("delete stream `a`: {why}"));
}
