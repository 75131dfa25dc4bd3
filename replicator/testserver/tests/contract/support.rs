//! Shared parts of the tests: servers, and clients with short times.

use std::time::Duration;

use antiphon_eventstore::{
    AppendOutcome, ClientSettings, ConnectionString, Direction, ErrorKind, EventStoreClient,
    ExpectedRevision, NewEvent, ReadFrom, ResolvedEvent, Subscription, SubscriptionMessage,
};
use antiphon_eventstore_testserver::{ServerSettings, TestServer};

pub(crate) async fn server() -> TestServer {
    server_with(ServerSettings::default()).await
}

pub(crate) async fn server_with(settings: ServerSettings) -> TestServer {
    TestServer::start(settings).await.unwrap()
}

/// Client settings with short times.
pub(crate) fn settings() -> ClientSettings {
    ClientSettings {
        request_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        keep_alive_interval: Duration::from_millis(200),
        keep_alive_timeout: Duration::from_millis(300),
        discovery_interval: Duration::from_millis(10),
        gossip_timeout: Duration::from_secs(2),
        discover_attempts_max: 2,
        ..ClientSettings::default()
    }
}

pub(crate) fn client(server: &TestServer) -> EventStoreClient {
    connect(&server.connection_string())
}

pub(crate) fn connect(text: &str) -> EventStoreClient {
    connect_with(text, settings())
}

pub(crate) fn connect_with(text: &str, settings: ClientSettings) -> EventStoreClient {
    EventStoreClient::new(ConnectionString::parse(text).unwrap(), settings).unwrap()
}

/// The events of a stream, from the first one on.
pub(crate) async fn read(
    client: &EventStoreClient,
    stream: &str,
    resolve: bool,
) -> Vec<ResolvedEvent> {
    let (forwards, start) = (Direction::Forwards, ReadFrom::Start);
    let read = client.read_stream(stream, forwards, start, 5000, resolve).await.unwrap();
    read.collect().await.unwrap()
}

/// The numbers of the events of a stream.
pub(crate) async fn numbers(client: &EventStoreClient, stream: &str) -> Vec<u64> {
    let events = read(client, stream, false).await;
    events.iter().map(|event| event.original().unwrap().revision).collect()
}

/// `count` events whose data is their number.
pub(crate) fn events(count: usize) -> Vec<NewEvent> {
    (0..count).map(|number| NewEvent::json("counted", number.to_string())).collect()
}

pub(crate) fn written(next_revision: u64, outcome: AppendOutcome) -> Option<()> {
    match outcome {
        AppendOutcome::Written { next_revision: actual, .. } => {
            (actual == next_revision).then_some(())
        }
        AppendOutcome::WrongExpectedRevision { .. } => None,
    }
}

pub(crate) async fn append(client: &EventStoreClient, stream: &str, count: usize) {
    client.append(stream, ExpectedRevision::Any, events(count)).await.unwrap();
}

/// The data of the next event of a subscription. Skips other messages.
pub(crate) async fn next_data(subscription: &mut Subscription) -> String {
    loop {
        if let SubscriptionMessage::Event(event) = soon(subscription.next()).await.unwrap() {
            return String::from_utf8(event.event.unwrap().data.to_vec()).unwrap();
        }
    }
}

/// The output of a future that must finish soon.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("something within 20 s")
}

/// Asserts that a call failed with this kind and this message.
#[track_caller]
pub(crate) fn fails<T: std::fmt::Debug>(
    result: antiphon_eventstore::Result<T>,
    kind: ErrorKind,
    message: &str,
) {
    assert_eq!(told(result), (kind, message.to_owned()));
}

/// The kind and the message of an error.
pub(crate) fn told<T: std::fmt::Debug>(
    result: antiphon_eventstore::Result<T>,
) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.to_string())
}
