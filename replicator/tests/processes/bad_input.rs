//! Messages for wrong input, which must say how to correct it.

use antiphon_eventstore::{self as es, Credentials};
use antiphon_eventstore_testserver::ServerSettings;
use bytes::Bytes;

use crate::support::{
    Pair, Setup, append, client, count, event, pair, server, server_with, wait_for,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_group_ends_the_program_with_its_name() {
    let Pair { source: _source, destination: _destination, mut setup, .. } = pair().await;
    setup.group("$ce-order", "nobody").set("Settings__Subscriptions__0__CreateGroup", "false");
    let (code, text) = setup.execute(&["run"]).await;
    assert_eq!(code, Some(1), "{text}");
    let expected = "antiphon-replicator: subscription `$ce-order::nobody`: subscription to group `nobody` of stream `$ce-order`";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("does not exist"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_end_the_program_and_are_not_shown() {
    let credentials = Credentials { user: "admin".into(), password: "right".into() };
    let settings = ServerSettings { credentials: Some(credentials), ..ServerSettings::default() };
    let (source, destination) = (server_with(settings).await, server().await);
    let wrong = source.connection_string().replace("right", "wrong-password");
    let mut setup = Setup::new(&wrong, &destination.connection_string());
    setup.group("$ce-order", "it");
    let (code, text) = setup.execute(&["run"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("create group `it` of stream `$ce-order`"), "{text}");
    assert!(!text.contains("wrong-password"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_source_is_tried_for_ever_and_is_not_ready() {
    let Pair { mut source, destination: _destination, mut setup, .. } = pair().await;
    source.stop().await;
    setup.catch_up("category", "order");
    let mut replicator = setup.start();
    let line =
        "Connection to Event Store Ditto:Source for $ce-order is lost. Attempting to connect in ";
    replicator.wait_for_line(line).await;
    let why =
        format!("subscription to stream `$ce-order`: cannot connect to `{}`", source.address());
    assert!(replicator.output().contains(&why), "{}", replicator.output());
    let (code, text) = replicator.get("/health/ready").await;
    assert_eq!(code, 503, "{text}");
    assert!(text.contains("subscription `it`: source down: "), "{text}");

    source.restart().await.unwrap();
    wait_for("ready", async || replicator.is_ready().await).await;
    replicator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_connection_string_is_answered_with_the_one_to_use() {
    let setup =
        Setup::new("ConnectTo=tcp://admin:changeit@eventstore:1113", "esdb://localhost:2113");
    let mut setup = setup;
    setup.group("$ce-order", "it");
    let (code, text) = setup.execute(&["run"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("Settings:SourceEventStoreConnectionString"), "{text}");
    assert!(text.contains("esdb://"), "{text}");
    assert!(!text.contains("changeit"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_warned_of_with_the_nearest_one() {
    let mut setup =
        Setup::new("esdb://localhost:2113?tls=false", "esdb://localhost:2114?tls=false");
    setup.group("$ce-order", "it").set("Settings__Streams__0__StreamName", "$ce-customer");
    let (code, text) = setup.execute(&["check-config"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("warning: `Settings:Streams"), "{text}");
    assert!(text.contains("Settings:Subscriptions"), "{text}");
    assert!(text.contains("the configuration is valid"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_over_the_sinks_limit_is_parked_others_go_on_and_it_can_be_replayed() {
    let source = server().await;
    let small = ServerSettings { append_bytes_max: 1000, ..ServerSettings::default() };
    let destination = server_with(small).await;
    let (from, to) =
        (client(&source.connection_string()), client(&destination.connection_string()));
    let large = es::NewEvent::binary("Large", Bytes::from(vec![7; 2000]));
    append(&from, "order-1", vec![event("a"), large, event("b")]).await;
    append(&from, "order-2", vec![event("c")]).await;
    let mut setup = Setup::new(&source.connection_string(), &destination.connection_string());
    setup.catch_up("category", "order").set("Settings__RunOnce", "true");

    assert_eq!(setup.start().ended().await, Some(3));

    assert_eq!((count(&to, "order-1").await, count(&to, "order-2").await), (1, 1));
    let (code, text) = setup.execute(&["park", "list"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("it: #1 of `order-1`, Large"), "{text}");
    assert!(text.contains("it: #2 of `order-1`, Happened"), "{text}");
    assert!(text.contains("event #1 of the stream is parked"), "{text}");
    assert!(text.contains("2 events in parking lots"), "{text}");

    let (code, text) = setup.execute(&["park", "replay"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("`order-1` #1: not replayed: Rejected"), "{text}");
    let (code, text) = setup.execute(&["park", "drop", "--yes"]).await;
    assert_eq!((code, text.trim()), (Some(0), "it: 2 events dropped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_its_head_is_parked_with_what_is_missing() {
    let Pair { source: _source, destination: _destination, from, to, mut setup } = pair().await;
    append(&from, "order-1", (0..5).map(|n| event(&n.to_string())).collect()).await;
    let truncated = es::StreamMetadata::default().with_truncate_before(3);
    let expected = es::ExpectedRevision::NoStream;
    from.set_stream_metadata("order-1", expected, &truncated.properties).await.unwrap();
    append(&from, "order-2", vec![event("c")]).await;
    setup.catch_up("stream", "order-1").set("Settings__RunOnce", "true");
    setup.set("Settings__MissingWaitMax", "00:00:01");

    assert_eq!(setup.start().ended().await, Some(3));

    assert_eq!(count(&to, "order-1").await, 0);
    let (_, text) = setup.execute(&["park", "list"]).await;
    let reason = "the events before it are missing: the destination has no such stream after 1 s";
    assert!(text.contains("it: #3 of `order-1`, Happened") && text.contains(reason), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_diverged_is_seen_and_the_policy_can_stop_everything() {
    let Pair { source: _source, destination: _destination, from, to, mut setup } = pair().await;
    append(&from, "order-1", vec![event("of the source")]).await;
    let other = event("of somebody else");
    let id = other.id;
    append(&to, "order-1", vec![other]).await;
    setup.catch_up("stream", "order-1").set("Settings__ConflictPolicy", "stop");

    let (code, text) = setup.execute(&["run"]).await;
    assert_eq!(code, Some(1), "{text}");
    let expected = format!(
        "antiphon-replicator: subscription `it`: conflict at #0 of `order-1`: the destination has event {id} at this number"
    );
    assert!(text.contains(&expected), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_stream_is_waited_for() {
    let Pair { source: _source, destination: _destination, from, to, mut setup } = pair().await;
    setup.catch_up("stream", "later-1");
    let replicator = setup.start();
    wait_for("ready", async || replicator.is_ready().await).await;
    append(&from, "later-1", vec![event("now")]).await;
    wait_for("the event", async || count(&to, "later-1").await == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_read_ends_the_program() {
    let Pair { source: _source, destination: _destination, mut setup, .. } = pair().await;
    setup.catch_up("category", "order");
    let folder = setup.folder.path().join("checkpoints");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("it.checkpoint.json"), "nonsense").unwrap();
    let (code, text) = setup.execute(&["run"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("repair it, or remove it to start over"), "{text}");
}
