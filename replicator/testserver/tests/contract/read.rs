//! Reads: order, positions, links, truncation, metadata.

use std::time::{Duration, SystemTime};

use antiphon_eventstore::{
    AppendOutcome, Direction, EventStoreClient, ExpectedRevision, NewEvent, Position, ReadFrom,
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
    assert_eq!(read(&client, "$ce-customer", true).await.len(), 4, "the deletion is linked too");
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
    let aged = StreamMetadata::default().with_max_age(Duration::from_secs(1));
    let expected = ExpectedRevision::Any;
    client.set_stream_metadata("a", expected, &aged.properties).await.unwrap();
    crate::support::soon(async { while !numbers(&client, "a").await.is_empty() {} }).await;
    append(&client, "a", 1).await;
    assert_eq!(numbers(&client, "a").await, [2]);
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
async fn a_category_links_to_everything_in_its_streams_and_to_their_deletion() {
    let server = server().await;
    let client = client(&server);
    let any = ExpectedRevision::Any;
    let add = async |stream: &str, event| client.append(stream, any, vec![event]).await.unwrap();
    add("a-1", NewEvent::json("$odd", "{}")).await;
    add("b-1", NewEvent::json("t", "{}")).await;
    add("a-1", NewEvent::binary("$>", "0@b-1")).await;
    // neither a stream of the system nor one without a name before the dash has a category
    add("$a-1", NewEvent::json("t", "{}")).await;
    add("-1", NewEvent::json("t", "{}")).await;
    client.delete_stream("a-1", any).await.unwrap();
    client.tombstone_stream("a-1", any).await.unwrap();

    let links = read(&client, "$ce-a", false).await;
    let text = |event: &ResolvedEvent| {
        String::from_utf8(event.event.as_ref().unwrap().data.to_vec()).unwrap()
    };
    let right = ["0@a-1", "0@b-1", "0@$$a-1", "9223372036854775807@a-1"];
    assert_eq!(links.iter().map(text).collect::<Vec<_>>(), right);
    let metadata = links[2].event.as_ref().unwrap().metadata.clone();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata).unwrap();
    assert_eq!((&metadata["$o"], &metadata["$deleted"]), (&"a-1".into(), &(-1).into()));

    // the stream and its metadata are dead; the link of a link leads to the event itself
    let resolved = read(&client, "$ce-a", true).await;
    let found: Vec<bool> = resolved.iter().map(|one| one.event.is_some()).collect();
    assert_eq!(found, [false, true, false, false]);
    assert_eq!(&*resolved[1].event.as_ref().unwrap().stream, "b-1");
    assert_eq!(client.newest("$ce-").await.unwrap(), None);
}
