//! The receptionist with real actors and nodes in memory, under paused time.

use ractor::{ActorRef, Message};

use super::*;
use crate::testing::{Place, Text, probe, text, until, within};

#[derive(Debug)]
struct Other;

impl Message for Other {}

fn key(name: &str) -> ServiceKey<Text> {
    ServiceKey::new(name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_actor_is_found_at_once_and_gone_when_it_ends() {
    let place = Place::new();
    let node = place.start("a").await;
    let receptionist = Receptionist::of(&node);
    let key = key("found_at_once");
    assert_eq!(receptionist.find(&key), Ok(Vec::new()));
    let (actor, mut texts) = probe::<Text>().await;
    receptionist.register(&key, &actor).unwrap();
    receptionist.register(&key, &actor).unwrap();
    let found = receptionist.find(&key).unwrap();
    assert_eq!(found, std::slice::from_ref(&actor));
    found[0].send_message(text("hello")).unwrap();
    assert_eq!(within("the text", texts.recv()).await, Some(text("hello")));

    actor.stop_and_wait(None, None).await.unwrap();
    until("gone", || receptionist.find(&key) == Ok(Vec::new())).await;
    let error = receptionist.register(&key, &actor).unwrap_err();
    assert_eq!(error, ToolError::Ended { key: "found_at_once".into() });
}

#[tokio::test(start_paused = true)]
async fn a_key_has_one_message_type_and_the_error_names_both() {
    let place = Place::new();
    let node = place.start("a").await;
    let receptionist = Receptionist::of(&node);
    let (actor, _texts) = probe::<Text>().await;
    receptionist.register(&key("one_type"), &actor).unwrap();
    let other = ServiceKey::<Other>::new("one_type").unwrap();
    let (of_other, _) = probe::<Other>().await;
    for error in [
        receptionist.register(&other, &of_other).unwrap_err(),
        receptionist.find(&other).unwrap_err(),
        receptionist.subscribe(&other).unwrap_err(),
    ] {
        let shown = error.to_string();
        assert!(shown.contains("`one_type`") && shown.contains("testing::Text"), "{shown}");
    }
    let refused = "antiphon_receptionist_refused_total{reason=\"other_type\"} 1";
    assert!(node.metrics().text().contains(refused), "{}", node.metrics().text());
}

#[tokio::test(start_paused = true)]
async fn subscribers_see_the_present_set_first_and_then_every_difference() {
    let place = Place::new();
    let node = place.start("a").await;
    let receptionist = Receptionist::of(&node);
    let key = key("differences");
    let mut changes = receptionist.subscribe(&key).unwrap();
    let first = within("the first set", changes.next()).await.unwrap();
    assert!(first.actors.is_empty() && first.joined.is_empty());

    let (one, _texts) = probe::<Text>().await;
    let (two, _texts) = probe::<Text>().await;
    receptionist.register(&key, &one).unwrap();
    let next = within("a set", changes.next()).await.unwrap();
    assert_eq!(
        (next.joined, next.left.len(), next.skipped, next.local),
        (vec![one.clone()], 0, 0, 1)
    );

    // while the subscriber looks away, three changes leave one difference
    receptionist.register(&key, &two).unwrap();
    receptionist.deregister(&key, &one);
    receptionist.register(&key, &one).unwrap();
    let next = within("a set", changes.next()).await.unwrap();
    assert_eq!((next.joined, next.left.len(), next.skipped), (vec![two.clone()], 0, 2));
    let mut late = receptionist.subscribe(&key).unwrap();
    let all = within("the present set", late.next()).await.unwrap();
    assert_eq!((all.actors.len(), all.joined.len()), (2, 2));
    assert!(node.metrics().text().contains("antiphon_receptionist_skipped_total 2"));

    // changes that cancel each other are no news
    receptionist.deregister(&key, &one);
    receptionist.register(&key, &one).unwrap();
    let second = std::time::Duration::from_secs(1);
    assert!(tokio::time::timeout(second, changes.next()).await.is_err());
    receptionist.deregister(&key, &two);
    let next = within("a set", changes.next()).await.unwrap();
    assert_eq!((next.joined.len(), next.left), (0, vec![two]));
}

/// A set of actors as a message.
struct Seen(Listing<Text>);

impl Message for Seen {}

#[tokio::test(start_paused = true)]
async fn at_most_one_set_waits_at_an_actor_and_it_gets_the_newest_then() {
    let place = Place::new();
    let node = place.start("a").await;
    let receptionist = Receptionist::of(&node);
    let key = key("actor_subscriber");
    let (subscriber, mut sets) = probe::<Seen>().await;
    receptionist.subscribe_actor(&key, &subscriber, Seen).unwrap();
    let Seen(first) = within("the first set", sets.recv()).await.unwrap();
    let actors: Vec<ActorRef<Text>> = {
        let mut actors = Vec::new();
        for _ in 0..5 {
            let (actor, _) = probe::<Text>().await;
            receptionist.register(&key, &actor).unwrap();
            actors.push(actor);
        }
        actors
    };
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(sets.try_recv().is_err(), "the first set is still in hand");
    drop(first);
    let Seen(newest) = within("the newest set", sets.recv()).await.unwrap();
    assert_eq!((newest.actors.len(), newest.skipped), (actors.len(), 4));
}

#[tokio::test(start_paused = true)]
async fn the_actors_of_a_dead_node_and_of_one_that_leaves_are_forgotten() {
    let place = Place::new();
    let (a, b, c) = (place.start("a").await, place.start("b").await, place.start("c").await);
    let key = key("forgotten");
    let here = Receptionist::of(&a);
    for node in [&a, &b, &c] {
        let (actor, _) = probe::<Text>().await;
        Receptionist::of(node).register(&key, &actor).unwrap();
    }
    let count = || here.find(&key).unwrap().len();
    until("all are found", || count() == 3).await;

    let of_c = Receptionist::of(&c);
    let began = a.clock().now();
    b.crash();
    until("those of the dead node are gone", || count() == 2).await;
    assert!(a.clock().now() - began < std::time::Duration::from_secs(3));
    c.leave().await.unwrap();
    assert_eq!(count(), 1, "a goodbye is heard at once");
    let (late, _) = probe::<Text>().await;
    let error = of_c.register(&key, &late).unwrap_err();
    assert_eq!(error, ToolError::Leaving { key: "forgotten".into() });
}

#[tokio::test(start_paused = true)]
async fn one_actor_more_than_the_limit_is_refused_by_name() {
    let place = Place::new();
    let node = place.start("a").await;
    let settings = ToolSettings { receptionist_actors_max: 1, ..ToolSettings::default() };
    settings.install(&node).unwrap();
    let receptionist = Receptionist::of(&node);
    let (one, _) = probe::<Text>().await;
    let (two, _) = probe::<Text>().await;
    receptionist.register(&key("limit_1"), &one).unwrap();
    let error = receptionist.register(&key("limit_1"), &two).unwrap_err().to_string();
    assert!(error.contains("`limit_1`: `receptionist_actors_max` of 1 is reached"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn tools_start_on_a_thread_without_a_runtime() {
    let place = Place::new();
    let node = place.start("a").await;
    let (actor, mut texts) = probe::<Text>().await;
    let of_thread = node.clone();
    let thread = std::thread::spawn(move || {
        let key = key("other_thread");
        Receptionist::of(&of_thread).register(&key, &actor).unwrap();
        crate::SingletonProxy::<Text>::of(&of_thread, "other_thread").unwrap();
        let topic = crate::Topic::<Text>::of(&of_thread, "other_thread").unwrap();
        topic.subscribe_actor(&actor, |publication| publication.message).unwrap();
        crate::Router::new(&of_thread, &key).unwrap().send(text("routed")).unwrap();
        topic.publish(text("published"));
    });
    thread.join().unwrap();
    for expected in ["routed", "published"] {
        assert_eq!(within("a text", texts.recv()).await, Some(text(expected)));
    }
}
