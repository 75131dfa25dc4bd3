//! Batches of mixed streams, on a test server.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_eventstore_testserver::{ServerSettings, TestServer};
use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::event::{Envelope, Event};
use crate::sink::{Conflict, EventStoreSink, EventStoreSinkSettings, Sink};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_at_once_arrives_in_the_order_in_which_it_came() {
    let (server, sink) = started(1 << 20).await;
    // every event changes the stream, and there are more runs than may be in flight
    let batch: Vec<Envelope> = (0..200).map(|n| envelope(["a", "b", "c"][n % 3], n / 3)).collect();

    let outcomes = sink.write(&batch).await;

    assert!(outcomes.iter().all(|one| matches!(one, Outcome::Written(Some(_)))), "{outcomes:?}");
    let expected: Vec<Uuid> = batch.iter().map(|one| one.event.id).collect();
    assert_eq!(in_log(&server).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_the_middle_holds_back_its_own_stream_only() {
    let (server, sink) = started(300).await;
    let mut large = envelope("a", 1);
    large.event.data = Bytes::from(vec![b'x'; 301]);
    let batch = [
        envelope("a", 0),
        envelope("b", 0),
        large,
        envelope("c", 0),
        envelope("a", 2),
        envelope("d", 3),
        envelope("b", 1),
        envelope("d", 4),
    ];

    let outcomes = sink.write(&batch).await;

    assert!(matches!(outcomes[2], Outcome::Rejected(_)), "{outcomes:?}");
    assert_eq!(outcomes[4], Outcome::Untried);
    assert_eq!(outcomes[5], Outcome::Conflict(Conflict::Missing { current: None }));
    assert_eq!(outcomes[7], Outcome::Untried);
    for done in [0, 1, 3, 6] {
        assert!(matches!(outcomes[done], Outcome::Written(_)), "{done}: {outcomes:?}");
    }
    assert_eq!(by_stream(&server).await, [("a", 1), ("b", 2), ("c", 1)].map(count).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_a_duplicate_and_the_rest_is_written() {
    let (server, sink) = started(1 << 20).await;
    sink.write(&[envelope("a", 0), envelope("b", 0), envelope("a", 1)]).await;

    // two runs, each of which begins before the end of its stream
    let of_a = (0..3).map(|number| envelope("a", number));
    let again: Vec<Envelope> = of_a.chain((0..2).map(|number| envelope("b", number))).collect();
    let outcomes = sink.write(&again).await;

    let (duplicate, written) = (Outcome::Duplicate, |number| Outcome::Written(Some(number)));
    let expected = [duplicate.clone(), duplicate.clone(), written(2), duplicate, written(1)];
    assert_eq!(outcomes, expected);
    assert_eq!(by_stream(&server).await, [("a", 3), ("b", 2)].map(count).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_answers_are_lost_every_stream_is_whole_and_nothing_is_there_twice() {
    let (server, sink) = started(1 << 20).await;
    let all: Vec<Envelope> = (0..600).map(|n| envelope(["a", "b", "c"][n % 3], n / 3)).collect();
    let mut rest = all.clone();
    let mut rounds = 0;
    while !rest.is_empty() {
        rounds += 1;
        assert!(rounds < 400, "no end with {} events left", rest.len());
        match rounds % 6 {
            0 => server.faults().lose_replies(1 + rounds % 3),
            1 => server.faults().lose_requests(1),
            2 => server.faults().unavailable(2),
            3 => server.faults().reset_connections(),
            _ => {}
        }
        let batch: Vec<Envelope> = rest.iter().take(48).cloned().collect();
        let outcomes = sink.write(&batch).await;
        let mut failed: Vec<&str> = Vec::new();
        for (envelope, outcome) in batch.iter().zip(&outcomes) {
            let stream = &*envelope.event.stream;
            if outcome.is_done() {
                assert!(!failed.contains(&stream), "`{stream}` went on: {outcomes:?}");
                rest.retain(|one| one.event.id != envelope.event.id);
            } else {
                let is_lost = matches!(outcome, Outcome::Unavailable(_) | Outcome::Untried);
                assert!(is_lost, "{outcome:?}");
                failed.push(stream);
            }
        }
    }
    server.faults().clear();
    assert_eq!(by_stream(&server).await, [("a", 200), ("b", 200), ("c", 200)].map(count).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_replaced_is_left_and_found_again() {
    let (server, sink) = started(1 << 20).await;
    sink.write(&[envelope("a", 0), envelope("b", 0)]).await;
    let address = server.address();
    server.faults().reset_connections();
    server.faults().not_leader(Some((address.ip().to_string(), address.port())));
    let outcomes = sink.write(&[envelope("a", 1), envelope("b", 1)]).await;
    assert!(outcomes.iter().any(says_away), "{outcomes:?}");
    server.faults().clear();

    let outcomes = sink.write(&[envelope("a", 1), envelope("b", 1)]).await;
    assert_eq!(outcomes, vec![Outcome::Written(Some(1)); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_gets_one_append_after_the_other() {
    let (server, sink) = started(1 << 20).await;
    sink.at_once.appends_alone.store(true, Ordering::Relaxed);
    let batch = [envelope("a", 0), envelope("b", 1), envelope("a", 1), envelope("b", 2)];

    let outcomes = sink.write(&batch).await;

    let written = |number| Outcome::Written(Some(number));
    let missing = Outcome::Conflict(Conflict::Missing { current: None });
    assert_eq!(outcomes, [written(0), missing, written(1), Outcome::Untried]);
    assert_eq!(by_stream(&server).await, [("a", 2)].map(count).into());
}

async fn started(append_bytes_max: usize) -> (TestServer, EventStoreSink) {
    let settings =
        ServerSettings { append_bytes_max, link_categories: false, ..ServerSettings::default() };
    let server = TestServer::start(settings).await.unwrap();
    let limits = es::ClientSettings {
        request_timeout: Duration::from_millis(500),
        ..es::ClientSettings::default()
    };
    let client = client(&server, limits);
    (server, EventStoreSink::new(client, EventStoreSinkSettings::default(), None))
}

fn client(server: &TestServer, limits: es::ClientSettings) -> es::EventStoreClient {
    let connection = es::ConnectionString::parse(&server.connection_string()).unwrap();
    es::EventStoreClient::new(connection, limits).unwrap()
}

async fn log(server: &TestServer) -> Vec<es::RecordedEvent> {
    let client = client(server, es::ClientSettings::default());
    let (forwards, start) = (es::Direction::Forwards, es::ReadFrom::Start);
    let mut events = client.read_all(forwards, start, u64::MAX, false).await.unwrap();
    let mut log = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        log.extend(event.event.filter(|event| !event.stream.starts_with('$')));
    }
    log
}

async fn in_log(server: &TestServer) -> Vec<Uuid> {
    log(server).await.iter().map(|event| event.id).collect()
}

async fn by_stream(server: &TestServer) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in log(server).await {
        let count: &mut usize = counts.entry(event.stream.to_string()).or_default();
        assert_eq!(event.id, id(&event.stream, *count), "`{}` is in order", event.stream);
        *count += 1;
    }
    counts
}

fn count((stream, count): (&str, usize)) -> (String, usize) {
    (stream.to_owned(), count)
}

fn id(stream: &str, number: usize) -> Uuid {
    Uuid::from_u64_pair(u64::from(stream.as_bytes()[0]), number.try_into().unwrap())
}

fn envelope(stream: &str, number: usize) -> Envelope {
    let event = Event::example(stream, number.try_into().unwrap(), "{}");
    Envelope::of(Event { id: id(stream, number), ..event })
}
