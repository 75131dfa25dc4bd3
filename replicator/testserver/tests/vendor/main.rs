//! The vendor's own Rust client with the test server: the server must support everything that it
//! relies on in the wire format.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use antiphon_eventstore_testserver::{ServerSettings, TestServer};
use bytes::Bytes;
use kurrentdb::{
    AppendToStreamOptions, BatchAppendOptions, Client, CurrentRevision, DeleteStreamOptions, Error,
    EventData, GetPersistentSubscriptionInfoOptions, ListPersistentSubscriptionsOptions, NakAction,
    PersistentSubscription, PersistentSubscriptionEvent, PersistentSubscriptionOptions,
    PersistentSubscriptionToAllOptions, Position, ReadAllOptions, ReadStreamOptions,
    ReplayParkedMessagesOptions, ResolvedEvent, StreamMetadata, StreamPosition, StreamState,
    SubscribeToAllOptions, SubscribeToPersistentSubscriptionOptions, SubscribeToStreamOptions,
    SubscriptionEvent, SubscriptionFilter, TombstoneStreamOptions,
};
use uuid::Uuid;

async fn server() -> (TestServer, Client) {
    let server = TestServer::start(ServerSettings::default()).await.unwrap();
    let settings = server.connection_string().parse().unwrap();
    let client = Client::new(settings).unwrap();
    (server, client)
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("something within 20 s")
}

fn events(count: usize) -> Vec<EventData> {
    (0..count).map(|number| EventData::json("counted", &number).unwrap()).collect()
}

fn number(event: &ResolvedEvent) -> u64 {
    event.event.as_ref().unwrap().as_json().unwrap()
}

async fn append(client: &Client, stream: &str, count: usize) {
    let options = AppendToStreamOptions::default();
    client.append_to_stream(stream, &options, events(count)).await.unwrap();
}

async fn read(client: &Client, stream: &str, options: ReadStreamOptions) -> Vec<ResolvedEvent> {
    let mut reading = client.read_stream(stream, &options).await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = reading.next().await.unwrap() {
        events.push(event);
    }
    events
}

#[tokio::test]
async fn it_finds_the_server_able_to_do_everything() {
    let (_server, client) = server().await;
    let info = client.server_info().await.unwrap();
    assert_eq!(info.version().major(), 24);
}

#[tokio::test]
async fn it_appends_and_reads_what_it_appended() {
    let (_server, client) = server().await;
    let id = Uuid::new_v4();
    let event = EventData::binary("odd", Bytes::from_static(&[0, 255]))
        .id(id)
        .metadata(Bytes::from_static(b"meta"));
    let expected = AppendToStreamOptions::default().stream_state(StreamState::NoStream);
    let result = client.append_to_stream("a", &expected, event).await.unwrap();
    assert_eq!(result.next_expected_version, 0);

    let read = read(&client, "a", ReadStreamOptions::default()).await;
    let event = read[0].event.as_ref().unwrap();
    assert_eq!((event.id, &*event.event_type, event.is_json), (id, "odd", false));
    assert_eq!((&*event.data, &*event.custom_metadata), ([0, 255].as_slice(), b"meta".as_slice()));
    assert_eq!((event.stream_id(), event.revision), ("a", 0));
    assert_eq!(event.position.commit, result.position.commit);
}

#[tokio::test]
async fn it_is_told_that_the_version_is_wrong() {
    let (_server, client) = server().await;
    append(&client, "a", 3).await;
    let options = AppendToStreamOptions::default().stream_state(StreamState::StreamRevision(0));
    let refused = client.append_to_stream("a", &options, events(1)).await.unwrap_err();
    let Error::WrongExpectedVersion { expected, current } = refused else { panic!("{refused}") };
    assert_eq!((expected, current), (StreamState::StreamRevision(0), CurrentRevision::Current(2)));
}

#[tokio::test]
async fn its_batches_are_answered_one_by_one() {
    let (_server, client) = server().await;
    let batch = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
    for number in 0..5 {
        let written = batch.append_to_stream("a", StreamState::Any, events(10));
        let written = soon(written).await.unwrap();
        assert_eq!(written.current_revision(), Some(number * 10 + 9));
    }
    let refused = batch.append_to_stream("a", StreamState::NoStream, events(1));
    assert!(soon(refused).await.is_err());
}

#[tokio::test]
async fn it_reads_backwards_from_places_and_everything() {
    let (_server, client) = server().await;
    append(&client, "a", 5).await;
    let options =
        ReadStreamOptions::default().backwards().position(StreamPosition::End).max_count(2);
    let numbers: Vec<u64> = read(&client, "a", options).await.iter().map(number).collect();
    assert_eq!(numbers, [4, 3]);
    let mut all = client.read_all(&ReadAllOptions::default().max_count(2)).await.unwrap();
    assert_eq!(number(&all.next().await.unwrap().unwrap()), 0);
    assert_eq!(number(&all.next().await.unwrap().unwrap()), 1);
    assert!(all.next().await.unwrap().is_none());
    let mut missing = client.read_stream("none", &ReadStreamOptions::default()).await.unwrap();
    assert!(matches!(missing.next().await, Err(Error::ResourceNotFound)));
}

#[tokio::test]
async fn its_subscription_to_a_category_resolves_links() {
    let (server, client) = server().await;
    server.seed_customers(2).unwrap();
    let options =
        SubscribeToStreamOptions::default().start_from(StreamPosition::Start).resolve_link_tos();
    let mut subscription = client.subscribe_to_stream("$ce-customer", &options).await;
    for customer in 1..=2 {
        let event = soon(subscription.next()).await.unwrap();
        assert!(event.is_resolved());
        assert_eq!(event.event.unwrap().stream_id(), format!("customer-{customer}"));
        assert_eq!(event.link.unwrap().event_type, "$>");
    }
    append(&client, "customer-3", 1).await;
    assert_eq!(number(&soon(subscription.next()).await.unwrap()), 0);
}

#[tokio::test]
async fn its_filters_and_checkpoints_work() {
    let (_server, client) = server().await;
    append(&client, "other", 100).await;
    append(&client, "wanted", 1).await;
    let filter = SubscriptionFilter::on_stream_name().add_prefix("wanted").max(10);
    let options = SubscribeToAllOptions::default().position(StreamPosition::Start).filter(filter);
    let mut subscription = client.subscribe_to_all(&options).await;
    let mut checkpoints: Vec<Position> = Vec::new();
    let event = loop {
        let told = soon(subscription.next_subscription_event()).await.unwrap();
        if let SubscriptionEvent::Checkpoint(at) = told {
            checkpoints.push(at);
        } else if let SubscriptionEvent::EventAppeared(event) = told {
            break event;
        }
    };
    assert_eq!(event.get_original_stream_id(), "wanted");
    assert!(!checkpoints.is_empty() && checkpoints.is_sorted());
}

#[tokio::test]
async fn it_excludes_system_events() {
    let (server, client) = server().await;
    server.seed_customers(1).unwrap();
    append(&client, "after", 1).await;
    let filter = SubscriptionFilter::on_event_type().exclude_system_events();
    let options = SubscribeToAllOptions::default().position(StreamPosition::Start).filter(filter);
    let mut subscription = client.subscribe_to_all(&options).await;
    for expected in ["customer-1", "after"] {
        let event = soon(subscription.next()).await.unwrap();
        assert_eq!(event.get_original_stream_id(), expected);
    }
}

#[tokio::test]
async fn it_sets_metadata_deletes_and_tombstones() {
    let (_server, client) = server().await;
    append(&client, "a", 5).await;
    let metadata = StreamMetadata::builder().max_count(2).build();
    let options = AppendToStreamOptions::default();
    client.set_stream_metadata("a", &options, &metadata).await.unwrap();
    let numbers: Vec<u64> =
        read(&client, "a", ReadStreamOptions::default()).await.iter().map(number).collect();
    assert_eq!(numbers, [3, 4]);

    client.delete_stream("a", &DeleteStreamOptions::default()).await.unwrap();
    let mut gone = client.read_stream("a", &ReadStreamOptions::default()).await.unwrap();
    assert!(matches!(gone.next().await, Err(Error::ResourceNotFound)));
    client.tombstone_stream("a", &TombstoneStreamOptions::default()).await.unwrap();
    let refused = client.append_to_stream("a", &options, events(1)).await;
    assert!(matches!(refused, Err(Error::ResourceDeleted)), "{refused:?}");
}

async fn next(group: &mut PersistentSubscription) -> (ResolvedEvent, usize) {
    loop {
        let event = soon(group.next_subscription_event()).await.unwrap();
        if let PersistentSubscriptionEvent::EventAppeared { retry_count, event } = event {
            return (event, retry_count);
        }
    }
}

#[tokio::test]
async fn its_groups_are_managed_answered_parked_and_replayed() {
    let (_server, client) = server().await;
    append(&client, "a", 3).await;
    let options = PersistentSubscriptionOptions::default().start_from(StreamPosition::Start);
    client.create_persistent_subscription("a", "g", &options).await.unwrap();
    let again = client.create_persistent_subscription("a", "g", &options).await;
    assert!(matches!(again, Err(Error::ResourceAlreadyExists)));

    let consume = SubscribeToPersistentSubscriptionOptions::default().buffer_size(1);
    let mut group = client.subscribe_to_persistent_subscription("a", "g", &consume).await.unwrap();
    let (event, retries) = next(&mut group).await;
    assert_eq!((number(&event), retries), (0, 0));
    group.nack(&event, NakAction::Retry, "again").await.unwrap();
    let (event, retries) = next(&mut group).await;
    assert_eq!((number(&event), retries), (0, 1));
    group.nack(&event, NakAction::Park, "enough").await.unwrap();
    let (event, _) = next(&mut group).await;
    assert_eq!(number(&event), 1);
    group.ack(&event).await.unwrap();
    let (event, _) = next(&mut group).await;
    assert_eq!(number(&event), 2);

    let asking = GetPersistentSubscriptionInfoOptions::default();
    let info = client.get_persistent_subscription_info("a", "g", &asking).await.unwrap();
    assert_eq!(
        (&*info.event_source, &*info.group_name, info.stats.parked_message_count),
        ("a", "g", 1)
    );
    let listed = ListPersistentSubscriptionsOptions::default();
    assert_eq!(client.list_all_persistent_subscriptions(&listed).await.unwrap().len(), 1);

    let replay = ReplayParkedMessagesOptions::default();
    client.replay_parked_messages("a", "g", &replay).await.unwrap();
    group.ack(&event).await.unwrap();
    let (event, retries) = next(&mut group).await;
    assert_eq!((number(&event), retries), (0, 0));
    group.ack(&event).await.unwrap();

    client.update_persistent_subscription("a", "g", &options).await.unwrap();
    client.delete_persistent_subscription("a", "g", &Default::default()).await.unwrap();
    let gone = client.subscribe_to_persistent_subscription("a", "g", &consume).await;
    assert!(matches!(gone, Err(Error::ResourceNotFound)));
}

#[tokio::test]
async fn its_group_on_everything_has_a_filter() {
    let (_server, client) = server().await;
    append(&client, "a", 2).await;
    append(&client, "b", 2).await;
    let filter = SubscriptionFilter::on_stream_name().add_prefix("b");
    let options = PersistentSubscriptionToAllOptions::default()
        .start_from(StreamPosition::Start)
        .filter(filter);
    client.create_persistent_subscription_to_all("g", &options).await.unwrap();
    let consume = SubscribeToPersistentSubscriptionOptions::default();
    let mut group =
        client.subscribe_to_persistent_subscription_to_all("g", &consume).await.unwrap();
    let (event, _) = next(&mut group).await;
    assert_eq!(event.get_original_stream_id(), "b");
}
