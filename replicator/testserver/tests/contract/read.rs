//! Reads: order, positions, links, truncation, metadata.

use std::time::{Duration, SystemTime};

use antiphon_eventstore::{
    AppendOutcome, Direction, EventStoreClient, ExpectedRevision, Position, ReadFrom,
    ResolvedEvent, StreamMetadata,
};
use antiphon_eventstore_testserver::ServerSettings;

use crate::support::{append, client, numbers, read, server, server_with};

async fn all(
    client: &EventStoreClient,
    direction: Direction,
    from: ReadFrom<Position>,
) -> Vec<(String, u64)> {
    let read = client.read_all(direction, from, 5000, false).await.unwrap();
    let name = |event: ResolvedEvent| {
        let event = event.event.unwrap();
        (event.stream.to_string(), event.revision)
    };
    read.collect().await.unwrap().into_iter().map(name).collect()
}

#[tokio::test]
async fn a_stream_is_read_from_any_place_in_both_directions() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 700).await;
    let read = async |direction, from, count| {
        let read = client.read_stream("a", direction, from, count, false).await.unwrap();
        let events = read.collect().await.unwrap();
        events.iter().map(|event| event.event.as_ref().unwrap().revision).collect::<Vec<_>>()
    };
    use Direction::{Backwards, Forwards};
    assert_eq!(numbers(&client, "a").await, (0..700).collect::<Vec<_>>());
    assert_eq!(read(Forwards, ReadFrom::At(698), 9).await, [698, 699]);
    assert_eq!(read(Forwards, ReadFrom::At(5), 2).await, [5, 6]);
    assert_eq!(read(Backwards, ReadFrom::End, 2).await, [699, 698]);
    assert_eq!(read(Backwards, ReadFrom::At(1), 9).await, [1, 0]);
    assert_eq!(read(Forwards, ReadFrom::End, 9).await, [0; 0]);
    assert_eq!(read(Backwards, ReadFrom::End, 600).await, (100..700).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_whole_store_is_read_in_the_order_of_its_log() {
    let settings = ServerSettings { link_categories: false, ..ServerSettings::default() };
    let server = server_with(settings).await;
    let client = client(&server);
    append(&client, "a-1", 1).await;
    let at = client.append("b-1", ExpectedRevision::Any, crate::support::events(1)).await.unwrap();
    append(&client, "a-1", 1).await;

    let expected = [("a-1".to_owned(), 0), ("b-1".to_owned(), 0), ("a-1".to_owned(), 1)];
    assert_eq!(all(&client, Direction::Forwards, ReadFrom::Start).await, expected);
    let AppendOutcome::Written { position: Some(at), .. } = at else { panic!("{at:?}") };
    assert_eq!(all(&client, Direction::Forwards, ReadFrom::At(at)).await, expected[1..]);
    assert_eq!(all(&client, Direction::Backwards, ReadFrom::At(at)).await, expected[..1]);
    let mut backwards = all(&client, Direction::Backwards, ReadFrom::End).await;
    backwards.reverse();
    assert_eq!(backwards, expected);
}

#[tokio::test]
async fn a_category_links_to_the_events_of_its_streams() {
    let server = server().await;
    let client = client(&server);
    server.seed_customers(3).unwrap();
    let resolved = read(&client, "$ce-customer", true).await;
    assert_eq!(resolved.len(), 3);
    for (number, event) in resolved.iter().enumerate() {
        let (link, event) = (event.link.as_ref().unwrap(), event.event.as_ref().unwrap());
        assert_eq!((&*link.stream, link.revision), ("$ce-customer", number as u64));
        assert_eq!((&*link.event_type, link.is_json), ("$>", false));
        assert_eq!(*event.stream, *format!("customer-{}", number + 1));
        assert_eq!(link.data, format!("0@customer-{}", number + 1));
    }
    let plain = read(&client, "$ce-customer", false).await;
    assert!(plain.iter().all(|event| event.link.is_none()));
    assert_eq!(plain[0].event.as_ref().unwrap().id, resolved[0].link.as_ref().unwrap().id);

    client.delete_stream("customer-2", ExpectedRevision::Any).await.unwrap();
    let dangling = &read(&client, "$ce-customer", true).await[1];
    assert!(dangling.event.is_none() && dangling.link.is_some());
}

#[tokio::test]
async fn metadata_is_merged_by_its_reader_and_truncates_the_stream() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 10).await;
    assert_eq!(client.stream_metadata("a").await.unwrap(), StreamMetadata::default());

    let metadata = StreamMetadata::default().with("owner", "me".into()).with_max_count(4);
    let set = client.set_stream_metadata("a", ExpectedRevision::NoStream, &metadata.properties);
    assert!(crate::support::written(0, set.await.unwrap()).is_some());
    assert_eq!(numbers(&client, "a").await, [6, 7, 8, 9]);

    let read = client.stream_metadata("a").await.unwrap();
    assert_eq!((read.revision, read.max_count()), (Some(0), Some(4)));
    let cut = read.with_truncate_before(8).with_max_age(Duration::from_secs(3600));
    let expected = ExpectedRevision::Exact(0);
    client.set_stream_metadata("a", expected, &cut.properties).await.unwrap();
    assert_eq!(numbers(&client, "a").await, [8, 9]);
    let read = client.stream_metadata("a").await.unwrap();
    assert_eq!(read.properties["owner"], "me");
    assert_eq!(read.max_age(), Some(Duration::from_secs(3600)));

    let stale = client.set_stream_metadata("a", expected, &cut.properties).await.unwrap();
    // the same revision with another id is not a repetition
    assert_eq!(stale, AppendOutcome::WrongExpectedRevision { current: Some(1) });
}

#[tokio::test]
async fn events_that_are_too_old_are_not_read() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 2).await;
    let aged = StreamMetadata::default().with_max_age(Duration::ZERO);
    let expected = ExpectedRevision::Any;
    client.set_stream_metadata("a", expected, &aged.properties).await.unwrap();
    assert_eq!(numbers(&client, "a").await, [0; 0]);
}

#[tokio::test]
async fn the_created_time_is_about_now() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 1).await;
    let created = client.newest("a").await.unwrap().unwrap().event.unwrap().created;
    let micros = antiphon_base::time::Clock::wall(&antiphon_base::time::SystemClock);
    let now = SystemTime::UNIX_EPOCH + Duration::from_micros(micros.as_micros());
    let age = now.duration_since(created).unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
}

#[tokio::test]
async fn ids_are_sent_as_text_when_asked() {
    use antiphon_eventstore::wire::streams::read_req::{Options, options};
    use antiphon_eventstore::wire::streams::streams_client::StreamsClient;
    use antiphon_eventstore::wire::streams::{ReadReq, read_resp};
    use antiphon_eventstore::wire::{
        Empty, StreamFrom, StreamName, Uuid, UuidForm, stream_from, uuid, uuid_form,
    };

    let server = server().await;
    let event = antiphon_eventstore::NewEvent::json("t", "{}");
    server.append("a", vec![event.clone()]).unwrap();
    let name = StreamName { name: "a".into() };
    let from = Some(stream_from::From::Start(Empty {}));
    let options = Options {
        what: Some(options::What::Stream(StreamFrom { stream: Some(name), from })),
        amount: Some(options::Amount::Count(1)),
        uuid: Some(UuidForm { form: Some(uuid_form::Form::Text(Empty {})) }),
        ..Options::default()
    };
    let address = format!("http://{}", server.address());
    let endpoint = tonic::transport::Endpoint::from_shared(address).unwrap();
    let mut raw = StreamsClient::new(endpoint.connect().await.unwrap());
    let answer = raw.read(ReadReq { options: Some(options) }).await.unwrap();
    let first = answer.into_inner().message().await.unwrap().unwrap().content;
    let Some(read_resp::Content::Event(read)) = first else { panic!("{first:?}") };
    let expected = Uuid { form: Some(uuid::Form::Text(event.id.to_string())) };
    assert_eq!(read.event.unwrap().id, Some(expected));
}
