//! Runs that end by themselves, dry runs, and sources that went back.

use std::collections::BTreeMap;

use antiphon_eventstore as es;
use antiphon_eventstore::ExpectedRevision;
use bytes::Bytes;

use crate::support::{Pair, append, client, count, event, pair, server, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_every_kind_ends_when_the_newest_event_is_hidden_or_there_is_none() {
    for (kind, stream) in [("all", ""), ("category", "order"), ("stream", "order-1")] {
        for events in 0..2 {
            let mut pair = pair().await;
            pair.setup.catch_up(kind, stream).set("Settings__RunOnce", "true");
            if events > 0 {
                append(&pair.from, "order-1", vec![event("a")]).await;
            }
            // hidden by the filter of `$all`
            append(&pair.from, "$hidden", (0..3).map(|_| event("x")).collect()).await;
            for _ in 0..3 {
                pair.setup.start().succeeds().await;
            }
            assert_eq!(count(&pair.to, "order-1").await, events);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_group_ends_when_nothing_is_left_in_it() {
    let mut pair = pair().await;
    pair.setup.group("$ce-order", "it").set("Settings__RunOnce", "true");
    // a stream that is not there
    pair.setup.start().succeeds().await;
    append(&pair.from, "order-1", vec![event("a"), event("b")]).await;
    pair.setup.start().succeeds().await;
    assert_eq!(count(&pair.to, "order-1").await, 2);
    // everything is acknowledged already
    pair.setup.start().succeeds().await;
    // the last event is left out, and so is the last link
    append(&pair.from, "order-2", vec![event("c")]).await;
    pair.from.delete_stream("order-2", ExpectedRevision::Any).await.unwrap();
    pair.setup.start().succeeds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_a_run_tells_that_events_were_parked() {
    for group in [false, true] {
        let mut pair = pair().await;
        append(&pair.from, "order-1", vec![event("of the source")]).await;
        append(&pair.to, "order-1", vec![event("of somebody else")]).await;
        append(&pair.from, "order-2", vec![event("good")]).await;
        if group {
            pair.setup.group("$ce-order", "it");
        } else {
            pair.setup.catch_up("all", "");
        }
        pair.setup.set("Settings__RunOnce", "true");
        let (code, text) = pair.setup.execute(&["run"]).await;
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains("1 event was parked in this run"), "{text}");
        assert_eq!(count(&pair.to, "order-2").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_anywhere() {
    for made_before in [false, true] {
        let mut pair = pair().await;
        append(&pair.from, "order-1", vec![event("a"), event("b"), event("c")]).await;
        if made_before {
            let group = es::GroupSettings {
                resolve_links: true,
                from: es::ReadFrom::Start,
                max_retry_count: 0,
                message_timeout: std::time::Duration::from_millis(100),
                ..es::GroupSettings::default()
            };
            pair.from.create_group("$ce-order", "it", &group).await.unwrap();
        }
        let before = (pair.source.log_length(), pair.destination.log_length());
        pair.setup.group("$ce-order", "it").set("Settings__DryRun", "true");
        pair.setup.set("Settings__RunOnce", "true");

        let mut replicator = pair.setup.start();
        replicator.succeeds().await;

        let output = replicator.output();
        assert!(output.contains("#2 from order-1"), "{output}");
        assert_eq!((pair.source.log_length(), pair.destination.log_length()), before);
        let groups = pair.from.list_groups().await.unwrap();
        assert_eq!(groups.len(), usize::from(made_before), "{groups:?}");
        assert_eq!(groups.iter().map(|group| group.parked).sum::<u64>(), 0);
        let left: Vec<_> = std::fs::read_dir(pair.setup.folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_does_not_resolve_links_is_copied_all_the_same() {
    let mut pair = pair().await;
    append(&pair.from, "order-1", vec![event("a"), event("b")]).await;
    append(&pair.from, "order-2", vec![event("gone")]).await;
    pair.from.delete_stream("order-2", ExpectedRevision::Any).await.unwrap();
    append(&pair.from, "order-1", vec![event("c")]).await;
    let group = es::GroupSettings { from: es::ReadFrom::Start, ..es::GroupSettings::default() };
    pair.from.create_group("$ce-order", "it", &group).await.unwrap();
    pair.setup.group("$ce-order", "it");
    let mut replicator = pair.setup.start();

    wait_for("three events", async || count(&pair.to, "order-1").await == 3).await;

    let info = pair.from.group_info("$ce-order", "it").await.unwrap();
    assert_eq!(info.parked, 0);
    replicator.stop().await;
    assert!(pair.setup.verify().await.is_equal());
}

/// A source with `new` events in place of the one that had twelve, behind the same checkpoint.
async fn with_another_source(kind: &str, new: usize) -> (Pair, Pair) {
    let mut first = pair().await;
    append(&first.from, "order-1", (0..12).map(|n| event(&n.to_string())).collect()).await;
    first.setup.catch_up(kind, "order-1").set("Settings__RunOnce", "true");
    first.setup.start().succeeds().await;
    first.setup.variables.remove("Ditto_Settings__RunOnce");

    let source = server().await;
    let from = client(&source.connection_string());
    if new > 0 {
        append(&from, "order-1", (0..new).map(|n| event(&n.to_string())).collect()).await;
    }
    first.setup.set("Settings__SourceEventStoreConnectionString", &source.connection_string());
    let (destination, setup) = (server().await, first.setup);
    let to = client(&destination.connection_string());
    let setup = crate::support::Setup {
        variables: BTreeMap::from_iter(setup.variables.clone()),
        folder: setup.folder,
    };
    let other = Pair { source, destination, from, to, setup };
    let unused = crate::support::Setup::new("esdb://localhost:1", "esdb://localhost:1");
    (Pair { setup: unused, ..first }, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_ends_before_the_checkpoint_is_noticed() {
    for kind in ["all", "stream"] {
        let (first, other) = with_another_source(kind, 5).await;
        let replicator = other.setup.start();
        replicator.wait_for_line("lies beyond the end of the source").await;
        let expected = if kind == "stream" {
            "checkpoint 11 lies beyond the end of the source at 4"
        } else {
            "checkpoint C:"
        };
        let tells = async || {
            let (code, text) = replicator.get("/health/ready").await;
            code == 503 && text.contains(expected) && text.contains("Settings:Checkpoint:WhenAhead")
        };
        wait_for("the reason", tells).await;
        replicator.kill().await;
        drop(first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_went_back_is_copied_again_from_the_place_that_was_chosen() {
    for kind in ["all", "stream"] {
        for (choice, copied) in [("start", 6), ("end", 1)] {
            let (mut first, mut other) = with_another_source(kind, 5).await;
            other.setup.set("Settings__Checkpoint__WhenAhead", choice);
            other.setup.set("Settings__SkipVersionCheck", "true");
            other.setup.set(
                "Settings__DestinationEventStoreConnectionString",
                &other.destination.connection_string(),
            );
            let mut replicator = other.setup.start();
            wait_for("ready", async || replicator.is_ready().await).await;
            append(&other.from, "order-1", vec![event("new")]).await;
            wait_for("the copy", async || count(&other.to, "order-1").await == copied).await;
            replicator.stop().await;
            // the place is kept
            let mut again = other.setup.start();
            append(&other.from, "order-1", vec![event("newer")]).await;
            wait_for("one more", async || count(&other.to, "order-1").await == copied + 1).await;
            again.stop().await;
            first.source.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn look_alike_names_have_checkpoints_of_their_own() {
    for store in ["destination", "file"] {
        let mut pair = pair().await;
        let names =
            ["order-1", "order_1", "order$1", "Order-1", "a/BC", "a\u{2FBC}", "\u{e9}", "e\u{301}"];
        let long = ["x".repeat(300), "\u{6f22}".repeat(60), "y".repeat(299) + "z"];
        let names: Vec<&str> = names.into_iter().chain(long.iter().map(String::as_str)).collect();
        for (index, name) in names.iter().enumerate() {
            append(&pair.from, name, (0..2).map(|n| event(&n.to_string())).collect()).await;
            pair.setup.catch_up("stream", name).set("Settings__RunOnce", "true");
            pair.setup.variables.remove("Ditto_Settings__Subscriptions__0__Name");
            pair.setup.set("Settings__Checkpoint__Store", store);
            pair.setup.start().succeeds().await;
            assert_eq!(count(&pair.to, name).await, 2, "{store} {index} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_link_that_leads_nowhere_is_skipped_and_the_group_goes_on() {
    let mut pair = pair().await;
    let link = |to: &str| es::NewEvent::binary("$>", Bytes::from(to.to_owned()));
    let odd = ["0@nowhere", "x@order-1", "@", "18446744073709551615@order-1"];
    append(&pair.from, "links", odd.into_iter().map(link).collect()).await;
    append(&pair.from, "order-1", vec![event("a")]).await;
    append(&pair.from, "links", vec![link("0@order-1")]).await;
    let group = es::GroupSettings { from: es::ReadFrom::Start, ..es::GroupSettings::default() };
    pair.from.create_group("links", "it", &group).await.unwrap();
    pair.setup.group("links", "it");
    let replicator = pair.setup.start();
    wait_for("the target", async || count(&pair.to, "order-1").await == 1).await;
    replicator.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_source_with_the_same_events_goes_on_behind_the_one_of_the_checkpoint() {
    let mut pair = pair().await;
    let events: Vec<es::NewEvent> = (0..6).map(|n| event(&n.to_string())).collect();
    append(&pair.from, "order-1", events.clone()).await;
    pair.setup.catch_up("all", "").set("Settings__RunOnce", "true");
    pair.setup.start().succeeds().await;

    // the same events at other positions, behind many others
    let source = server().await;
    let from = client(&source.connection_string());
    append(&from, "$other", (0..50).map(|_| event("x")).collect()).await;
    append(&from, "order-1", events).await;
    append(&from, "order-1", vec![event("new")]).await;
    pair.setup.set("Settings__SourceEventStoreConnectionString", &source.connection_string());
    let (code, text) = pair.setup.execute(&["run"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("lies behind event") && text.contains("WhenAhead"), "{text}");
    pair.setup.set("Settings__Checkpoint__WhenAhead", "id");
    let mut replicator = pair.setup.start();
    replicator.succeeds().await;
    assert_eq!(count(&pair.to, "order-1").await, 7);
    assert!(!replicator.output().contains("#0 from order-1"), "{}", replicator.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_comes_back_with_less_is_noticed_while_the_replicator_runs() {
    let mut pair = pair().await;
    pair.setup.catch_up("stream", "order-1");
    append(&pair.from, "order-1", (0..9).map(|n| event(&n.to_string())).collect()).await;
    let replicator = pair.setup.start();
    wait_for("the copy", async || count(&pair.to, "order-1").await == 9).await;
    let listen = pair.source.address().to_string();
    pair.source.stop().await;
    let settings = antiphon_eventstore_testserver::ServerSettings { listen, ..Default::default() };
    let older = antiphon_eventstore_testserver::TestServer::start(settings).await.unwrap();
    let from = client(&older.connection_string());
    append(&from, "order-1", (0..3).map(|n| event(&n.to_string())).collect()).await;

    replicator.wait_for_line("checkpoint 8 lies beyond the end of the source at 2").await;
    assert!(!replicator.is_ready().await);
    replicator.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_source_whose_log_is_as_long_is_noticed_by_the_stream_that_it_lacks() {
    for (own, expected) in
        [(5, "only events up to #4 in that stream"), (0, "the source has no such stream")]
    {
        let (first, other) = with_another_source("all", own).await;
        append(&other.from, "order-2", (0..20).map(|n| event(&n.to_string())).collect()).await;
        let replicator = other.setup.start();
        replicator.wait_for_line(expected).await;
        assert!(!replicator.is_ready().await);
        replicator.kill().await;
        drop(first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_parks_nothing() {
    let mut pair = pair().await;
    let no_object = event("a").with_metadata(Bytes::from_static(b"[1]"));
    append(&pair.from, "order-1", vec![no_object]).await;
    pair.setup.catch_up("all", "").set("Settings__DryRun", "true");
    pair.setup.set("Settings__RunOnce", "true").set("Settings__LoopPrevention__Enabled", "true");
    pair.setup.set("Settings__LoopPrevention__SourceName", "a");
    pair.setup.set("Settings__LoopPrevention__DestinationName", "b");
    let (code, text) = pair.setup.execute(&["run"]).await;
    // the code tells what a run would do
    assert_eq!(code, Some(3), "{text}");
    let left: Vec<_> = std::fs::read_dir(pair.setup.folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_destination_deleted_or_truncated_by_itself_counts_as_there() {
    for (kind, stream) in [("category", "order"), ("stream", "order-1"), ("group", "$ce-order")] {
        for how in 0..3 {
            let mut pair = pair().await;
            append(&pair.from, "order-1", (0..5).map(|n| event(&n.to_string())).collect()).await;
            match kind {
                "group" => pair.setup.group(stream, "it"),
                _ => pair.setup.catch_up(kind, stream),
            };
            pair.setup.set("Settings__RunOnce", "true");
            pair.setup.start().succeeds().await;
            let any = ExpectedRevision::Any;
            let limits = es::StreamMetadata::default();
            match how {
                0 => pair.to.delete_stream("order-1", any).await.map(|_| ()).unwrap(),
                1 | 2 => {
                    let limits = match how {
                        1 => limits.with_max_count(2),
                        _ => limits.with_truncate_before(5),
                    };
                    let set = pair.to.set_stream_metadata("order-1", any, &limits.properties);
                    set.await.map(|_| ()).unwrap();
                }
                _ => unreachable!("three ways"),
            }
            let before = pair.destination.log_length();
            // as if the position was lost
            let _ = std::fs::remove_dir_all(pair.setup.folder.path().join("checkpoints"));
            if kind == "group" {
                pair.from.delete_group("$ce-order", "it").await.unwrap();
            }
            pair.setup.start().succeeds().await;
            assert_eq!(pair.destination.log_length(), before, "{kind} {how}");
        }
    }
}
