//! Catch-up subscriptions: positions, filters, checkpoints, ends.

use std::time::Duration;

use antiphon_eventstore::{
    ErrorKind, ExpectedRevision, Filter, NewEvent, Position, Subscription, SubscriptionMessage,
};
use futures::FutureExt;

use crate::support::{append, client, events, fails, next_data, server, soon, told};

async fn next(subscription: &mut Subscription) -> SubscriptionMessage {
    soon(subscription.next()).await.unwrap()
}

#[tokio::test]
async fn a_subscription_gives_the_past_then_says_so_then_gives_the_present() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 3).await;

    let mut subscription = client.subscribe_stream("a", Some(0), false).await.unwrap();
    assert_eq!(next(&mut subscription).await, SubscriptionMessage::Confirmed);
    assert_eq!(next_data(&mut subscription).await, "1");
    assert_eq!(next_data(&mut subscription).await, "2");
    assert_eq!(next(&mut subscription).await, SubscriptionMessage::CaughtUp);
    append(&client, "a", 1).await;
    assert_eq!(next_data(&mut subscription).await, "0");
}

#[tokio::test]
async fn a_stream_that_does_not_exist_yet_can_be_subscribed() {
    let server = server().await;
    let client = client(&server);
    let mut subscription = client.subscribe_stream("$ce-a", None, true).await.unwrap();
    assert_eq!(next(&mut subscription).await, SubscriptionMessage::Confirmed);
    append(&client, "a-1", 1).await;
    let event = loop {
        if let SubscriptionMessage::Event(event) = next(&mut subscription).await {
            break event;
        }
    };
    assert_eq!(&*event.event.unwrap().stream, "a-1");
    assert_eq!(&*event.link.unwrap().stream, "$ce-a");
}

#[tokio::test]
async fn a_next_that_is_dropped_loses_nothing() {
    let server = server().await;
    let client = client(&server);
    let mut subscription = client.subscribe_stream("a", None, false).await.unwrap();
    let writer = client.clone();
    let write = antiphon_base::task::spawn("writer", async move {
        for _ in 0..50 {
            append(&writer, "a", 2).await;
        }
    });
    let mut revisions = Vec::new();
    while revisions.len() < 100 {
        // polled once and dropped, again and again
        match subscription.next().now_or_never() {
            Some(Ok(SubscriptionMessage::Event(event))) => {
                revisions.push(event.event.unwrap().revision);
            }
            Some(other) => drop(other.unwrap()),
            None => tokio::task::yield_now().await,
        }
    }
    write.await.unwrap();
    assert_eq!(revisions, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn filters_let_through_what_they_say() {
    let server = server().await;
    let client = client(&server);
    for (stream, event_type) in [("a-1", "x"), ("b-1", "y"), ("c-1", "x2")] {
        let event = NewEvent::json(event_type, format!("\"{stream}\""));
        client.append(stream, ExpectedRevision::Any, vec![event]).await.unwrap();
    }
    let prefix = |text: &str| vec![text.to_owned(), "no-such".to_owned()];
    let cases = [
        (Filter::StreamPrefix(prefix("b-")), "\"b-1\""),
        (Filter::StreamRegex("^c".to_owned()), "\"c-1\""),
        (Filter::TypePrefix(prefix("y")), "\"b-1\""),
        (Filter::TypeRegex("^x2$".to_owned()), "\"c-1\""),
    ];
    for (filter, expected) in cases {
        let mut subscription = client.subscribe_all(None, filter.clone(), false).await.unwrap();
        assert_eq!(next_data(&mut subscription).await, expected, "{filter:?}");
    }
    let refused = client.subscribe_all(None, Filter::StreamRegex("(".to_owned()), false).await;
    let (kind, message) = told(refused.map(|_| ()));
    assert_eq!(kind, ErrorKind::Rejected);
    let start = "subscription to `$all`: the server answered InvalidArgument: the filter's expression cannot be read";
    assert!(message.starts_with(start), "{message}");
}

#[tokio::test]
async fn a_filter_that_lets_nothing_through_still_says_how_far_it_is() {
    let server = server().await;
    let settings = antiphon_eventstore::ClientSettings {
        filter_window_max: 5,
        filter_checkpoint_windows: 2,
        ..crate::support::settings()
    };
    let client = crate::support::connect_with(&server.connection_string(), settings);
    append(&client, "a", 25).await;

    let filter = || Filter::StreamPrefix(vec!["none".to_owned()]);
    let mut subscription = client.subscribe_all(None, filter(), false).await.unwrap();
    let mut checkpoints: Vec<Position> = Vec::new();
    loop {
        match next(&mut subscription).await {
            SubscriptionMessage::Checkpoint(at) => checkpoints.push(at),
            SubscriptionMessage::CaughtUp => break,
            SubscriptionMessage::Confirmed => {}
            other @ (SubscriptionMessage::Event(_) | SubscriptionMessage::FellBehind) => {
                panic!("{other:?}")
            }
        }
    }
    assert_eq!(checkpoints.len(), 3, "every ten of 25, and at the end: {checkpoints:?}");
    let last = client.newest("$all").await.unwrap().unwrap().event.unwrap();
    assert_eq!(checkpoints[2], last.position);

    // the events after a checkpoint are exactly those that it does not cover
    let mut rest = client.subscribe_all(Some(checkpoints[1]), Filter::None, false).await.unwrap();
    assert_eq!(next_data(&mut rest).await, "20");
}

#[tokio::test]
async fn every_end_of_a_subscription_is_an_error_that_says_which() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 1).await;
    let name = "subscription to stream `a`";
    let live = async || {
        let mut subscription = client.subscribe_stream("a", None, false).await.unwrap();
        while next(&mut subscription).await != SubscriptionMessage::CaughtUp {}
        subscription
    };

    let mut subscription = live().await;
    server.faults().end_streams();
    let end = soon(subscription.next()).await;
    fails(end, ErrorKind::Unavailable, &format!("{name}: the server ended the stream"));
    let again = soon(subscription.next()).await;
    assert_eq!(
        told(again).0,
        ErrorKind::Unavailable,
        "an ended subscription does not spin or panic"
    );

    let mut subscription = live().await;
    server.faults().reset_connections();
    let end = soon(subscription.next()).await;
    fails(end, ErrorKind::Unavailable, &format!("{name}: the connection broke"));

    let mut subscription = live().await;
    client.tombstone_stream("a", ExpectedRevision::Any).await.unwrap();
    let tombstone = next(&mut subscription).await;
    assert!(matches!(tombstone, SubscriptionMessage::Event(_)), "{tombstone:?}");
    let why = "the stream was deleted for ever (tombstone)";
    fails(soon(subscription.next()).await, ErrorKind::StreamDeleted, &format!("{name}: {why}"));

    let mut subscription = client.subscribe_stream("b", None, false).await.unwrap();
    assert_eq!(next(&mut subscription).await, SubscriptionMessage::Confirmed);
    append(&client, "b", 1).await;
    assert_eq!(next_data(&mut subscription).await, "0");
}

#[tokio::test]
async fn many_events_pass_in_order() {
    let server = server().await;
    let client = client(&server);
    let mut subscription =
        client.subscribe_all(None, Filter::StreamPrefix(vec!["bulk".into()]), false).await.unwrap();
    for _ in 0..20 {
        client.append("bulk", ExpectedRevision::Any, events(500)).await.unwrap();
    }
    let mut revision = 0;
    while revision < 10_000 {
        if let SubscriptionMessage::Event(event) =
            tokio::time::timeout(Duration::from_secs(20), subscription.next())
                .await
                .unwrap()
                .unwrap()
        {
            assert_eq!(event.event.unwrap().revision, revision);
            revision += 1;
        }
    }
}
