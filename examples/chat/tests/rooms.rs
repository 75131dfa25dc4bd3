//! Rooms and members on three nodes of two places, in one process.

use std::time::Duration;

use antiphon::LocalPlace;
use antiphon::base::time::{Clock, SystemClock};
use antiphon::cluster::Receptionist;
use antiphon::cluster::ractor::{Actor, ActorRef};
use antiphon::prelude::*;
use antiphon_chat::{Line, Member, Outbox, Room, RoomCommand, members};

const PATIENCE: Duration = Duration::from_secs(60);

fn line(text: &str) -> Line {
    Line { from: "ann".to_owned(), text: text.to_owned() }
}

fn texts(outbox: &Outbox) -> Vec<String> {
    outbox.lines().into_iter().map(|line| line.text).collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = SystemClock.now() + PATIENCE;
    while !holds() {
        assert!(SystemClock.now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn start(place: &LocalPlace, name: &str) -> (Node, EntityRef<RoomCommand>) {
    let node = place.start(name).await.expect("a node");
    let replicas = ["DC-A", "DC-B"].map(|name| ReplicaId::new(name).expect("a name"));
    let provider =
        ReplicatedEntityProvider::per_role(Room::TYPE, replicas, |_: &ReplicationId| Room);
    let rooms = ReplicatedSharding::init(&node, provider).await.expect("rooms");
    let room = rooms.route("tea", &RoutingPolicy::FailOver).expect("a room");
    (node, room)
}

async fn say(room: &EntityRef<RoomCommand>, text: &str) {
    let end = SystemClock.now() + PATIENCE;
    let say = |reply_to| RoomCommand::Say { line: line(text), reply_to };
    while let Err(error) = room.ask(say).await {
        assert!(error.is_without_effect() && SystemClock.now() < end, "{error:?}");
    }
}

async fn join(node: &Node, room: &EntityRef<RoomCommand>) -> (ActorRef<Line>, Outbox) {
    let outbox = Outbox::default();
    let member = Member { outbox: outbox.clone() };
    let (member, _) = Actor::spawn(None, member, room.clone()).await.expect("a member");
    let key = members("tea").expect("a key");
    Receptionist::of(node).register(&key, &member).expect("registered");
    (member, outbox)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_hear_each_line_and_find_those_before_they_came() {
    let [place_a, place_b] = LocalPlace::connected(["DC-A", "DC-B"]);
    let (node_a, room_a) = start(&place_a, "a-1").await;
    let (node_b, room_b) = start(&place_b, "b-1").await;
    // the other member of its place finds out that a node is dead
    let (_node_c, _) = start(&place_b, "b-2").await;
    say(&room_a, "one").await;
    let (_ann, ann) = join(&node_a, &room_a).await;
    let (_bob, bob) = join(&node_b, &room_b).await;
    assert_eq!(texts(&ann), ["one"]);
    let key = members("tea").expect("a key");
    let here = Receptionist::of(&node_a);
    until("both are found", || here.find(&key).is_ok_and(|found| found.len() == 2)).await;

    say(&room_b, "two").await;
    until("both hear it", || [&ann, &bob].iter().all(|box_| texts(box_).contains(&"two".into())))
        .await;
    node_b.crash();
    until("bob is forgotten", || here.find(&key).is_ok_and(|found| found.len() == 1)).await;
    say(&room_a, "three").await;
    until("ann goes on", || texts(&ann).ends_with(&["three".to_owned()])).await;
    assert!(!texts(&bob).contains(&"three".to_owned()));
}
