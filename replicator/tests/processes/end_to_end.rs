//! Behaviour visible to users of Ditto, and the other kinds of subscriptions.

use std::fs;

use antiphon_eventstore as es;
use bytes::Bytes;

use crate::support::{Pair, append, count, event, pair, read, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn dittos_own_demo_with_its_own_settings_file() {
    let Pair { source, destination: _destination, from, to, setup } = pair().await;
    source.seed_customers(10).unwrap();
    let group = es::GroupSettings {
        resolve_links: true,
        from: es::ReadFrom::Start,
        strategy: es::ConsumerStrategy::Pinned,
        ..es::GroupSettings::default()
    };
    from.create_group("$ce-customer", "Ditto", &group).await.unwrap();
    let settings = r#"{
        "Settings": { "Subscriptions": [ { "StreamName": "$ce-customer", "GroupName": "Ditto" } ] },
        "Metrics": { "Enabled": true },
        "Serilog": { "MinimumLevel": { "Default": "Debug" }, "WriteTo": [ { "Name": "Console" } ] }
    }"#;
    fs::write(setup.folder.path().join("appsettings.json"), settings).unwrap();

    let mut replicator = setup.start();

    wait_for("ten customers", async || count(&to, "customer-10").await == 1).await;
    for number in 1..=10 {
        let stream = format!("customer-{number}");
        let both = (read(&from, &stream).await, read(&to, &stream).await);
        let parts = |events: &[es::RecordedEvent]| {
            let part = |one: &es::RecordedEvent| {
                (
                    one.id,
                    one.revision,
                    one.event_type.clone(),
                    one.is_json,
                    one.data.clone(),
                    one.metadata.clone(),
                )
            };
            events.iter().map(part).collect::<Vec<_>>()
        };
        assert_eq!(parts(&both.0), parts(&both.1));
    }
    replicator
        .wait_for_line(
            "Replicating CustomerCreated #0 from customer-1 (Original Event: #0) completed in",
        )
        .await;
    let (_, metrics) = replicator.get("/metrics/").await;
    let labels = r#"{app="ditto",group="Ditto",stream="$ce-customer"}"#;
    assert!(metrics.contains(&format!("ditto_events_processed_total{labels} 10")), "{metrics}");
    // a live event
    append(&from, "customer-1", vec![event("moved")]).await;
    wait_for("the live event", async || count(&to, "customer-1").await == 2).await;
    assert!(replicator.is_ready().await);
    replicator.stop().await;
    assert!(setup.verify().await.is_equal());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_caught_up_with_in_eight_lanes_and_goes_on_where_it_was() {
    let Pair { source: _source, destination: _destination, from, to, mut setup } = pair().await;
    for number in 0..40 {
        for stream in 0..20 {
            append(&from, &format!("order-{stream}"), vec![event(&number.to_string())]).await;
        }
    }
    setup.catch_up("all", "").set("Settings__Lanes", "8").set("Settings__LaneOrder", "stream");
    let mut first = setup.start();
    wait_for("all events", async || count(&to, "order-19").await == 40).await;
    first.stop().await;
    assert_eq!(setup.verify().await.table(), "20 of 20 streams equal, 800 events the same");

    append(&from, "order-0", vec![event("more")]).await;
    let mut second = setup.start();
    wait_for("the new event", async || count(&to, "order-0").await == 41).await;
    let (_, metrics) = second.get("/metrics").await;
    assert!(
        metrics
            .contains("ditto_events_duplicate_total{app=\"ditto\",group=\"it\",stream=\"$all\"} 0"),
        "{metrics}"
    );
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_by_itself_copies_a_category_and_verify_agrees() {
    let Pair { source, destination: _destination, to, mut setup, .. } = pair().await;
    source.seed_customers(10).unwrap();
    setup.catch_up("category", "customer").set("Settings__RunOnce", "true");

    setup.start().succeeds().await;

    let (code, text) = setup.execute(&["verify"]).await;
    assert_eq!((code, text.trim()), (Some(0), "10 of 10 streams equal, 10 events the same"));
    append(&to, "customer-3", vec![event("extra")]).await;
    let (code, text) = setup.execute(&["verify"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("customer-3: 0 missing, 1 extra, 0 different, 0 out of order"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_and_empty_payloads_arrive_as_they_are() {
    let Pair { source: _source, destination: _destination, from, to, mut setup } = pair().await;
    let events = vec![
        es::NewEvent::binary("Binary", Bytes::from_static(b"\xff\x00\xfe")),
        es::NewEvent::binary("Empty", Bytes::new()),
        es::NewEvent::json("NoJson", Bytes::from_static(b"{ not json")),
    ];
    append(&from, "file-1", events).await;
    setup.group("file-1", "plain");
    let replicator = setup.start();
    wait_for("three events", async || count(&to, "file-1").await == 3).await;
    assert!(setup.verify().await.is_equal());
    drop(replicator);
}

#[tokio::test(flavor = "multi_thread")]
async fn skipping_the_version_check_finds_again_what_was_written_and_sets_the_time_to_live() {
    let Pair { source: _source, destination: _destination, from, to, mut setup } = pair().await;
    append(&from, "cart-1", (0..10).map(|n| event(&n.to_string())).collect()).await;
    append(&to, "cart-1", vec![event("of the destination")]).await;
    setup.catch_up("stream", "cart-1").set("Settings__SkipVersionCheck", "true");
    setup.set("Settings__TimeToLive", "1.00:00:00").set("Settings__RunOnce", "true");
    for _ in 0..2 {
        setup.start().succeeds().await;
        // as if the checkpoint was lost
        fs::remove_dir_all(setup.folder.path().join("checkpoints")).unwrap();
    }
    assert_eq!(count(&to, "cart-1").await, 11);
    let existing = to.stream_metadata("cart-1").await.unwrap();
    assert_eq!(existing.max_age(), None, "only new streams get a time to live");

    append(&from, "cart-2", vec![event("first")]).await;
    setup.set("Settings__Subscriptions__0__StreamName", "cart-2");
    setup.start().succeeds().await;
    let new = to.stream_metadata("cart-2").await.unwrap();
    assert_eq!(new.max_age().map(|age| age.as_secs()), Some(86_400));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicators_share_a_group_and_keep_the_order_between_them() {
    let Pair { source, destination: _destination, from, to, mut setup } = pair().await;
    for number in 0..50 {
        for stream in 0..4 {
            source.append(&format!("order-{stream}"), vec![event(&number.to_string())]).unwrap();
        }
    }
    setup.group("$ce-order", "shared");
    setup.set("Settings__Subscriptions__0__GroupConsumerStrategy", "RoundRobin");
    // an event waits for its predecessor at the other replicator, and must not be given up
    // meanwhile
    setup.set("Settings__BlockedWaitMax", "00:01:00");
    let mut both = [setup.start(), setup.start()];

    wait_for("everything", async || setup.verify().await.is_equal()).await;

    assert_eq!(count(&to, "order-3").await, 50);
    for replicator in &mut both {
        replicator.stop().await;
    }
    let info = from.group_info("$ce-order", "shared").await.unwrap();
    assert_eq!(info.parked, 0);
}
