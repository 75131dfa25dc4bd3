//! Topics with real actors and nodes in memory, under paused time.

use super::*;
use crate::testing::{Place, Text, probe, text, until, within};

#[tokio::test(start_paused = true)]
async fn every_subscriber_of_every_node_has_a_message_once() {
    let place = Place::new();
    let (a, b) = (place.start("a").await, place.start("b").await);
    let [here, there] = [&a, &b].map(|node| Topic::<Text>::of(node, "everywhere").unwrap());
    assert_eq!(here.publish(text("nobody hears")), Published::default());
    let mut one = here.subscribe().unwrap();
    let mut two = there.subscribe().unwrap();
    let mut three = there.subscribe().unwrap();
    until("the broker is known", || {
        here.publish(text("try")) == Published { subscribers: 1, nodes: 1, ..Default::default() }
    })
    .await;
    for subscription in [&mut one, &mut two, &mut three] {
        let first = within("a text", subscription.next()).await.unwrap();
        assert_eq!((first.message, first.missed), (text("try"), 0));
    }
    drop((two, three));
    assert_eq!(there.local_subscribers(), 0);
    until("no broker is left", || here.publish(text("again")).nodes == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_without_room_misses_messages_and_is_told_how_many() {
    let place = Place::new();
    let node = place.start("a").await;
    ToolSettings { topic_queue_max: 2, ..ToolSettings::default() }.install(&node).unwrap();
    let topic = Topic::<Text>::of(&node, "no_room").unwrap();
    let mut slow = topic.subscribe().unwrap();
    for number in 0..5 {
        let published = topic.publish(text(&number.to_string()));
        let has_room = number < 2;
        assert_eq!(
            (published.subscribers, published.dropped),
            (has_room.into(), (!has_room).into())
        );
    }
    for (expected, missed) in [("0", 0), ("1", 0)] {
        let publication = within("a text", slow.next()).await.unwrap();
        assert_eq!((&publication.message, publication.missed), (&text(expected), missed));
    }
    topic.publish(text("5"));
    let publication = within("a text", slow.next()).await.unwrap();
    assert_eq!((&publication.message, publication.missed), (&text("5"), 3));
    let dropped = "antiphon_topic_dropped_total{reason=\"topic_queue_max\"} 3";
    assert!(node.metrics().text().contains(dropped), "{}", node.metrics().text());
}

/// A publication as the message of an actor.
struct Heard(Publication<Text>);

impl Message for Heard {}

#[tokio::test(start_paused = true)]
async fn the_mailbox_of_an_actor_has_the_same_bound_and_its_end_ends_the_subscription() {
    let place = Place::new();
    let node = place.start("a").await;
    ToolSettings { topic_queue_max: 2, ..ToolSettings::default() }.install(&node).unwrap();
    let topic = Topic::<Text>::of(&node, "actor").unwrap();
    let (actor, mut heard) = probe::<Heard>().await;
    topic.subscribe_actor(&actor, Heard).unwrap();
    let taken: usize = (0..5).map(|_| topic.publish(text("x")).subscribers).sum();
    assert_eq!(taken, 2);
    for _ in 0..2 {
        let Heard(publication) = within("a text", heard.recv()).await.unwrap();
        assert_eq!(publication.message, text("x"));
    }
    assert_eq!(topic.publish(text("y")).subscribers, 1);
    actor.stop_and_wait(None, None).await.unwrap();
    until("the subscription ends", || topic.local_subscribers() == 0).await;
}

#[derive(Clone)]
struct Other;

impl Message for Other {}

#[tokio::test(start_paused = true)]
async fn a_topic_has_one_message_type_and_bounds_that_name_their_setting() {
    let place = Place::new();
    let node = place.start("a").await;
    let settings =
        ToolSettings { topic_subscribers_max: 1, topics_max: 1, ..ToolSettings::default() };
    settings.install(&node).unwrap();
    let topic = Topic::<Text>::of(&node, "one_type_of_topic").unwrap();
    let error = Topic::<Other>::of(&node, "one_type_of_topic").map(|_| ()).unwrap_err();
    assert!(matches!(error, ToolError::OtherType { .. }), "{error}");
    let first = topic.subscribe().unwrap();
    let error = topic.subscribe().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("`topic_subscribers_max` of 1 is reached"), "{error}");
    let second = Topic::<Text>::of(&node, "second_topic").unwrap();
    let error = second.subscribe().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("`second_topic`: `topics_max` of 1 is reached"), "{error}");
    drop(first);
    second.subscribe().unwrap();
}
