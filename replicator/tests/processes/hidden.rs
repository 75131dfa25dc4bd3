//! Events that the destination hides, by a deletion or a truncation, count as there: events
//! that a killed replicator reads again are neither written twice nor parked.

use antiphon_eventstore as es;
use antiphon_eventstore::{ErrorKind, ExpectedRevision};

use crate::support::{Pair, append, event, pair, read, wait_for};

/// A pair with a catch-up on `$all` that copies metadata and deletions, and is killed before it
/// saves a checkpoint.
async fn copying_pair() -> Pair {
    let mut all = pair().await;
    all.setup.catch_up("all", "").set("Settings__Checkpoint__Interval", "01:00:00");
    all.setup.set("Settings__CopyDeletes", "true").set("Settings__CopyStreamMetadata", "true");
    all.setup.set("Settings__MissingWaitMax", "00:00:01");
    all
}

async fn append_numbers(
    client: &es::EventStoreClient,
    stream: &str,
    numbers: std::ops::Range<u64>,
) {
    append(client, stream, numbers.map(|number| event(&number.to_string())).collect()).await;
}

async fn numbers(client: &es::EventStoreClient, stream: &str) -> Vec<u64> {
    read(client, stream).await.iter().map(|event| event.revision).collect()
}

/// Replicates all that is there, is killed, and replicates it again with what is new; then the
/// events of both sides are the same, and none is parked.
async fn is_the_same_after_a_kill(
    pair: &Pair,
    stream: &str,
    between: impl AsyncFnOnce(&es::EventStoreClient),
) {
    append(&pair.from, "marker", vec![event("first")]).await;
    let first = pair.setup.start();
    wait_for("the first copy", async || numbers(&pair.to, "marker").await == [0]).await;
    first.kill().await;

    between(&pair.from).await;
    append(&pair.from, "marker", vec![event("second")]).await;
    let second = pair.setup.start();
    wait_for("the second copy", async || numbers(&pair.to, "marker").await == [0, 1]).await;
    let (_, text) = pair.setup.execute(&["park", "list"]).await;
    assert!(text.contains("0 events in parking lots"), "{text}");
    let ids = async |client: &es::EventStoreClient| {
        let events = read(client, stream).await;
        events.iter().map(|event| (event.revision, event.id)).collect::<Vec<_>>()
    };
    assert_eq!(ids(&pair.to).await, ids(&pair.from).await, "{}", second.output());
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_is_not_written_again_and_lives_on_when_it_is_revived() {
    let pair = copying_pair().await;
    append_numbers(&pair.from, "order-1", 0..3).await;
    pair.from.delete_stream("order-1", ExpectedRevision::Any).await.unwrap();

    is_the_same_after_a_kill(&pair, "order-1", async |_| {}).await;
    assert!(numbers(&pair.to, "order-1").await.is_empty());

    append(&pair.from, "marker-2", vec![event("first")]).await;
    append_numbers(&pair.from, "order-1", 3..5).await;
    let third = pair.setup.start();
    wait_for("the revived stream", async || numbers(&pair.to, "order-1").await == [3, 4]).await;
    third.kill().await;
    let fourth = pair.setup.start();
    append(&pair.from, "order-1", vec![event("5")]).await;
    wait_for("one more", async || numbers(&pair.to, "order-1").await == [3, 4, 5]).await;
    fourth.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_keeps_its_last_events_goes_on_behind_them() {
    for version_check in ["false", "true"] {
        let mut pair = copying_pair().await;
        pair.setup.set("Settings__SkipVersionCheck", version_check);
        let limited = es::StreamMetadata::default().with_max_count(3);
        let any = ExpectedRevision::Any;
        pair.from.set_stream_metadata("order-1", any, &limited.properties).await.unwrap();
        append_numbers(&pair.from, "order-1", 0..10).await;

        let more =
            async |from: &es::EventStoreClient| append_numbers(from, "order-1", 10..20).await;
        is_the_same_after_a_kill(&pair, "order-1", more).await;
        assert_eq!(numbers(&pair.to, "order-1").await, [17, 18, 19]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_stream_goes_on_where_it_was() {
    for (before, version_check) in [(7, "false"), (10, "false"), (7, "true"), (10, "true")] {
        let mut pair = copying_pair().await;
        pair.setup.set("Settings__SkipVersionCheck", version_check);
        append_numbers(&pair.from, "order-1", 0..10).await;
        let truncated = es::StreamMetadata::default().with_truncate_before(before);
        let any = ExpectedRevision::Any;
        pair.from.set_stream_metadata("order-1", any, &truncated.properties).await.unwrap();

        let more =
            async |from: &es::EventStoreClient| append_numbers(from, "order-1", 10..12).await;
        is_the_same_after_a_kill(&pair, "order-1", more).await;
        assert_eq!(numbers(&pair.to, "order-1").await, (before..12).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_is_copied_and_what_was_before_it_counts_as_there() {
    for version_check in ["false", "true"] {
        let mut pair = copying_pair().await;
        pair.setup.set("Settings__SkipVersionCheck", version_check);
        append_numbers(&pair.from, "order-1", 0..3).await;
        pair.from.tombstone_stream("order-1", ExpectedRevision::Any).await.unwrap();

        is_the_same_after_a_kill(&pair, "order-1", async |_| {}).await;
        let gone = pair.to.newest("order-1").await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::StreamDeleted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_another_name_is_asked_for_by_its_name_at_the_source() {
    for version_check in ["false", "true"] {
        let mut pair = copying_pair().await;
        pair.setup.set("Settings__SkipVersionCheck", version_check);
        pair.setup.set("Settings__Renames__0__Field", "stream");
        pair.setup.set("Settings__Renames__0__Match", "prefix");
        pair.setup.set("Settings__Renames__0__From", "order-");
        pair.setup.set("Settings__Renames__0__To", "bought-");
        append_numbers(&pair.from, "order-1", 0..3).await;
        pair.from.tombstone_stream("order-1", ExpectedRevision::Any).await.unwrap();
        append_numbers(&pair.from, "order-2", 0..3).await;
        pair.from.delete_stream("order-2", ExpectedRevision::Any).await.unwrap();

        is_the_same_after_a_kill(&pair, "order-1", async |_| {}).await;
        let gone = pair.to.newest("bought-1").await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::StreamDeleted);
        assert!(numbers(&pair.to, "bought-2").await.is_empty());
        let log = pair.to.read_all(es::Direction::Forwards, es::ReadFrom::Start, u64::MAX, false);
        let log = log.await.unwrap().collect().await.unwrap();
        let copies = log.iter().filter_map(|one| one.event.as_ref());
        let copies = copies.filter(|event| &*event.stream == "bought-2").count();
        assert_eq!(copies, 3, "with version check {version_check}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_only_the_destination_has_ended_for_ever_is_parked_with_the_reason() {
    let mut pair = copying_pair().await;
    append_numbers(&pair.from, "order-1", 0..2).await;
    append_numbers(&pair.to, "order-1", 0..1).await;
    pair.to.tombstone_stream("order-1", ExpectedRevision::Any).await.unwrap();
    pair.setup.set("Settings__RunOnce", "true");
    let (code, text) = pair.setup.execute(&["run"]).await;
    assert_eq!(code, Some(3), "{text}");
    let (_, text) = pair.setup.execute(&["park", "list"]).await;
    let why =
        "the destination has ended this stream for ever (a tombstone), and the source has not";
    assert!(text.contains("#0 of `order-1`") && text.contains(why), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copied_metadata_has_the_bytes_and_the_id_of_the_source() {
    let pair = copying_pair().await;
    let data = r#"{ "z" : 123456789012345678901234567890, "$maxCount":5, "a":1.10, "z":"\u0041" }"#;
    let metadata = es::NewEvent::json("$metadata", data);
    append(&pair.from, "$$order-1", vec![metadata.clone()]).await;
    append_numbers(&pair.from, "order-1", 0..1).await;

    is_the_same_after_a_kill(&pair, "$$order-1", async |_| {}).await;
    let copied = read(&pair.to, "$$order-1").await;
    assert_eq!((copied.len(), &copied[0].data[..]), (1, data.as_bytes()));
    assert_eq!(copied[0].id, metadata.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn system_types_and_links_inside_an_ordinary_stream_keep_their_numbers() {
    for (kind, stream) in [("all", ""), ("category", "order"), ("stream", "order-1")] {
        let mut pair = pair().await;
        pair.setup.catch_up(kind, stream).set("Settings__RunOnce", "true");
        let typed = |event_type: &str, data: &str| es::NewEvent::json(event_type, data.to_owned());
        append(&pair.from, "order-1", vec![event("0"), typed("$mine", "{}"), event("2")]).await;
        append(&pair.from, "order-1", vec![typed("$>", "0@order-1"), event("4")]).await;

        pair.setup.start().succeeds().await;

        let parts = async |client: &es::EventStoreClient| {
            let events = read(client, "order-1").await;
            let part = |one: es::RecordedEvent| (one.revision, one.id, one.event_type, one.data);
            events.into_iter().map(part).collect::<Vec<_>>()
        };
        assert_eq!(parts(&pair.to).await, parts(&pair.from).await, "{kind}");
        assert_eq!(parts(&pair.to).await.len(), 5);
    }
}
