//! The comparison finds what only one side has: events, streams, deletions, truncation, metadata.

use antiphon_eventstore as es;
use antiphon_replicator::verify::Report;

use crate::support::{Pair, append, event, pair};

/// Two sides with the same three streams.
async fn equal_sides() -> Pair {
    let pair = pair().await;
    for stream in ["order-1", "order-2", "other-1"] {
        let events: Vec<_> = (0..4).map(|n| event(&n.to_string())).collect();
        append(&pair.from, stream, events.clone()).await;
        append(&pair.to, stream, events).await;
    }
    pair
}

async fn verified(pair: &mut Pair, kind: &str) -> Report {
    let stream = if kind == "stream" { "order-1" } else { "order" };
    pair.setup.catch_up(kind, stream);
    pair.setup.verify().await
}

async fn assert_differs(pair: &mut Pair, kinds: &[&str], parts: &[&str]) {
    for kind in kinds {
        let report = verified(pair, kind).await;
        let table = report.table();
        assert!(!report.is_equal(), "{kind}: {table}");
        for part in parts {
            assert!(table.contains(part), "{kind}: `{part}` in: {table}");
        }
    }
}

const KINDS: [&str; 3] = ["all", "category", "stream"];

#[tokio::test(flavor = "multi_thread")]
async fn equal_sides_are_equal() {
    let mut pair = equal_sides().await;
    for (kind, streams) in [("all", 3), ("category", 2), ("stream", 1)] {
        let report = verified(&mut pair, kind).await;
        assert!(report.is_equal(), "{kind}: {}", report.table());
        assert_eq!(report.streams.len(), streams, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_only_the_destination_has_is_found() {
    let mut pair = equal_sides().await;
    append(&pair.to, "order-9", vec![event("extra")]).await;
    let part = "order-9: only the destination has it";
    assert_differs(&mut pair, &["all", "category"], &[part]).await;

    // a subscription to one stream says nothing about others, but much about its own
    append(&pair.to, "order-1", vec![event("extra")]).await;
    assert_differs(&mut pair, &KINDS, &["order-1: 0 missing, 1 extra"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_stream_that_the_source_never_had_is_compared() {
    let mut pair = pair().await;
    append(&pair.to, "order-1", vec![event("extra")]).await;
    let parts = ["1 extra", "the stream is missing at the source and there at the destination"];
    assert_differs(&mut pair, &["stream"], &parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_on_one_side_only_is_found() {
    for is_for_ever in [false, true] {
        for is_source in [true, false] {
            let mut pair = equal_sides().await;
            let side = if is_source { &pair.from } else { &pair.to };
            if is_for_ever {
                side.tombstone_stream("order-1", es::ExpectedRevision::Any).await.unwrap();
            } else {
                side.delete_stream("order-1", es::ExpectedRevision::Any).await.unwrap();
            }
            let word = if is_for_ever { "deleted for ever" } else { "deleted" };
            let part = if is_source {
                format!("the stream is {word} at the source and there at the destination")
            } else {
                format!("the stream is there at the source and {word} at the destination")
            };
            assert_differs(&mut pair, &["all", "stream"], &[&part]).await;

            let other = if is_source { &pair.to } else { &pair.from };
            if is_for_ever {
                other.tombstone_stream("order-1", es::ExpectedRevision::Any).await.unwrap();
            } else {
                other.delete_stream("order-1", es::ExpectedRevision::Any).await.unwrap();
            }
            let report = verified(&mut pair, "all").await;
            assert!(report.is_equal(), "{}", report.table());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deletion_hides_is_found_in_the_log() {
    let mut pair = equal_sides().await;
    append(&pair.to, "order-1", vec![event("a second time")]).await;
    for side in [&pair.from, &pair.to] {
        side.delete_stream("order-1", es::ExpectedRevision::Any).await.unwrap();
    }
    let part = "events up to #3 in the log of the source, and up to #4 in that of the destination";
    assert_differs(&mut pair, &["all"], &[part]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncation_on_one_side_only_is_found() {
    for is_source in [true, false] {
        let mut pair = equal_sides().await;
        let side = if is_source { &pair.from } else { &pair.to };
        let truncated = es::StreamMetadata::default().with_truncate_before(2);
        let any = es::ExpectedRevision::Any;
        side.set_stream_metadata("order-1", any, &truncated.properties).await.unwrap();
        let parts = if is_source {
            ["2 extra", "begins with #2 at the source and with #0 at the destination"]
        } else {
            ["2 missing", "begins with #0 at the source and with #2 at the destination"]
        };
        assert_differs(&mut pair, &KINDS, &parts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copied_metadata_is_compared() {
    let mut pair = equal_sides().await;
    let limit = es::StreamMetadata::default().with_max_count(100);
    let any = es::ExpectedRevision::Any;
    pair.from.set_stream_metadata("order-1", any, &limit.properties).await.unwrap();
    assert!(verified(&mut pair, "all").await.is_equal());
    pair.setup.set("Settings__CopyStreamMetadata", "true");
    assert_differs(&mut pair, &KINDS, &["`$maxCount` of the stream's metadata differs"]).await;
}
