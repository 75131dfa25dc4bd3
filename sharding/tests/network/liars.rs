//! Nodes that speak the protocol and lie: strangers, and members that say what they may not say.
//! Time is paused.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use antiphon_persistence::event::SequenceNr;
use antiphon_runtime::{AskError, NodeId};
use antiphon_sharding::coordinator::{Home, Homes};
use antiphon_sharding::{AskError as EntityError, CommandsFrom, ShardingSettings};
use bytes::Bytes;

use crate::messages::{Answer, Message, at, forged, shard};
use crate::world::{
    COMMANDS, Command, GET, Liar, Running, SECOND, SHARDING, World, add, counter, get, ready,
    refused, replica, settings, wait, wait_for, wire,
};

/// An encoded `Command::Add` of 1000 with the first place for an answer.
const ADD: &[u8] = &[0, 251, 0xd0, 0x07, 0];

fn command(replica: &str, id: &str, command: &[u8]) -> Bytes {
    wire(0, 1, [b"counter", id.as_bytes(), replica.as_bytes()], command)
}

impl Liar {
    fn tell(&self, to: &Running, message: &Message) {
        self.node.gate().tell(to.node.id(), SHARDING, message.encode()).unwrap();
    }

    async fn homes(&self, of: &Running) -> Homes {
        let ask = Message::ask_homes().encode();
        let answer = self.node.gate().ask(of.node.id(), SHARDING, ask, SECOND).await.unwrap();
        match antiphon_persistence::codec::CodecId::Bincode.decode(&answer).unwrap() {
            Answer::Changed(homes) => homes,
            Answer::NotCoordinator | Answer::Unchanged => panic!("the coordinator has homes"),
        }
    }
}

/// The token of the lease of the own place, as a node knows it.
fn token(running: &Running) -> u64 {
    running.node.coordinator_lease().borrow().holders[running.node.place()].token.0
}

async fn wait_refused(running: &Running, reason: &str, count: u64) {
    wait(reason, || refused(running, reason) >= count).await;
    assert_eq!(refused(running, reason), count, "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_no_member_says_nothing() {
    let world = World::new(&["A", "B"], settings());
    let (a, b) = (world.start("A", "a").await, world.start("B", "b").await);
    ready(&[&a, &b]).await;
    let member = world.liar("A", &b).await;
    let answer =
        member.node.gate().ask(b.node.id(), COMMANDS, command("B", "x", ADD), SECOND).await;
    assert!(answer.is_ok(), "the test knows the wire: {answer:?}");
    assert_eq!(get(&b, "B", "x").await, 1000);
    member.tell(&b, &Message::replicate("y", "B", vec![forged("A")]));
    wait_for(&b, "B", "y", 1000).await;

    let stranger = world.stranger(&b).await;
    let began = SystemClock.now();
    for service_message in [
        (COMMANDS, command("B", "x", ADD)),
        (SHARDING, Message::ask_homes().encode()),
        (SHARDING, Bytes::from_static(b"no message")),
    ] {
        let (service, message) = service_message;
        let answer = stranger.ask(b.node.id(), service, message, 10 * SECOND).await;
        let Err(AskError::NotHere(why)) = answer else { panic!("{answer:?}") };
        assert!(why.contains("in no membership table"), "{why}");
    }
    assert!(SystemClock.now() - began >= 6 * SECOND, "each waits for `newcomer_timeout`");
    let events = Message::replicate("z", "B", vec![forged("A")]).encode();
    stranger.tell(b.node.id(), SHARDING, events).unwrap();
    stranger.tell(b.node.id(), COMMANDS, command("B", "x", ADD)).unwrap();
    wait_refused(&b, "no_member", 5).await;
    assert_eq!((get(&b, "B", "x").await, get(&b, "B", "z").await), (1000, 0));
    assert_eq!(refused(&b, "malformed"), 0, "nothing of a stranger is read");
}

#[tokio::test(start_paused = true)]
async fn strangers_that_talk_without_end_fill_no_memory_and_disturb_no_member() {
    let world = World::new(&["A"], settings());
    let a = world.start("A", "a").await;
    ready(&[&a]).await;
    let stranger = world.stranger(&a).await;
    for _ in 0..600 {
        let _ = stranger.tell(a.node.id(), COMMANDS, command("A", "x", ADD));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(refused(&a, "newcomers_full"), 100, "one node gets half of 1000");
    assert_eq!(add(&a, "A", "x").await, 1);
    wait_refused(&a, "no_member", 500).await;
    assert_eq!(get(&a, "A", "x").await, 1);
}

/// A node that has just joined is not refused: the tables are read when its first message comes.
#[tokio::test(start_paused = true)]
async fn a_node_that_has_just_joined_is_heard_before_the_next_read_of_the_tables() {
    let mut world = World::new(&["A", "B"], settings());
    world.peer_scan_interval = 600 * SECOND;
    let a = world.start("A", "a").await;
    ready(&[&a]).await;
    tokio::time::sleep(5 * SECOND).await;
    let b = world.start("B", "b").await;
    let asked = SystemClock.now();
    assert_eq!(add(&b, "A", "x").await, 1);
    assert!(SystemClock.now() - asked < SECOND, "{:?}", SystemClock.now() - asked);
    ready(&[&b]).await;
    wait_for(&b, "B", "x", 1).await;
    assert_eq!((refused(&a, "no_member"), refused(&b, "no_member")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn forged_events_are_refused_and_the_true_ones_still_come() {
    let world = World::new(&["A", "B", "C"], settings());
    let (a, b, c) =
        (world.start("A", "a").await, world.start("B", "b").await, world.start("C", "c").await);
    ready(&[&a, &b, &c]).await;
    let liar = world.liar("A", &b).await;
    let forge = |events| liar.tell(&b, &Message::replicate("x", "B", events));

    forge(vec![forged("C")]);
    forge(vec![forged("B")]);
    wait_refused(&b, "other_origin", 2).await;
    let mut far = forged("A");
    far.meta.source_seq = SequenceNr::new(1 << 40);
    forge(vec![far]);
    let mut unnamed = forged("A");
    unnamed.meta.version = Default::default();
    forge(vec![unnamed]);
    wait_refused(&b, "impossible_event", 2).await;
    let ahead = SystemClock.wall().as_micros() + 120_000_000;
    forge(vec![at(Timestamp::from_micros(ahead), forged("A"))]);
    forge(vec![at(Timestamp::from_micros(u64::MAX), forged("A"))]);
    wait_refused(&b, "event_ahead", 2).await;
    forge(Vec::new());
    wait_refused(&b, "malformed", 1).await;
    let way = |from: &str| Message::WayOpened {
        entity_type: "counter".into(),
        shard: shard("B", 0),
        from: replica(from),
    };
    for from in ["C", "B", "X"] {
        liar.tell(&b, &way(from));
    }
    wait_refused(&b, "other_way", 3).await;
    assert_eq!(get(&b, "B", "x").await, 0);

    assert_eq!(add(&a, "A", "x").await, 1);
    assert_eq!(add(&c, "C", "x").await, 1);
    for (node, place) in [(&a, "A"), (&b, "B"), (&c, "C")] {
        wait_for(node, place, "x", 2).await;
    }
    let text = b.metrics.text();
    assert!(text.contains(r#"outcome="other_origin""#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn forged_homes_are_refused_and_a_fail_over_goes_on() {
    let world = World::new(&["A", "B"], settings());
    let (a, b) = (world.start("A", "a").await, world.start("B", "b").await);
    let second = world.start("A", "a-2").await;
    ready(&[&a, &b, &second]).await;
    let liar = world.liar("A", &a).await;
    wait("the liar is connected", || liar.node.gate().is_connected(b.node.id())).await;
    let honest = token(&a);

    for (to, count) in [(&a, 1), (&b, 1), (&second, 1)] {
        wait("the liar is connected", || liar.node.gate().is_connected(to.node.id())).await;
        liar.tell(to, &Message::homes("A", u64::MAX, u64::MAX, "nobody"));
        wait_refused(to, "unknown_lease", count).await;
        liar.tell(to, &Message::homes("A", honest, u64::MAX, "nobody"));
        wait_refused(to, "not_coordinator", 1).await;
        liar.tell(to, &Message::homes("A", honest - 1, u64::MAX, "nobody"));
        wait_refused(to, "earlier_lease", 1).await;
    }
    for number in 0..20 {
        let id = format!("c-{number}");
        assert_eq!(add(&b, "A", &id).await, 1);
        assert_eq!(add(&second, "A", &id).await, 2);
    }

    // the liar has not started the type, so the lease goes to `a-2`
    world.network.crash(a.node.id());
    a.node.crash();
    let crashed = SystemClock.now();
    for number in 0..20 {
        let id = format!("c-{number}");
        loop {
            let ask = |reply_to| Command::Get { reply_to };
            match counter(&b, "A", &id).with_ask_timeout(SECOND * 5).ask(ask).await {
                Ok(value) => break assert_eq!(value, 2, "{id}"),
                Err(_) => assert!(SystemClock.now() - crashed < 20 * SECOND, "{id}"),
            }
        }
    }
    assert!(SystemClock.now() - crashed < 8 * SECOND, "{:?}", SystemClock.now() - crashed);
    assert!(second.counters.is_ready());
}

/// A coordinator that lies about homes: the type says that it is not ready, and is ready again when
/// a true coordinator tells the homes.
#[tokio::test(start_paused = true)]
async fn homes_at_a_node_that_is_no_member_make_a_type_not_ready_until_the_true_homes_come() {
    let world = World::new(&["A"], settings());
    let liar = world.lonely_liar("A").await;
    wait("the liar holds the lease", || liar.node.coordinator_lease().borrow().held.is_some())
        .await;
    let a = world.start("A", "a").await;
    wait("they are connected", || liar.node.gate().is_connected(a.node.id())).await;
    liar.tell(&a, &Message::homes("A", token(&a), 7, "nobody"));
    let ready = || antiphon_runtime::admin::ClusterSection::ready(&section(&a));
    wait("the homes are known", || ready().is_err_and(|why| why.contains("nobody@1"))).await;
    let why = ready().unwrap_err();
    assert!(why.contains("4 shards of `counter` have no home"), "{why}");
    assert!(why.contains("at `nobody@1`, which is no living member of `A`"), "{why}");
    assert!(a.metrics.text().contains(r#"antiphon_shards_homeless{type="counter"} 4"#));

    liar.node.leave().await.unwrap();
    wait("a is ready", || ready().is_ok()).await;
    assert_eq!(add(&a, "A", "x").await, 1);
}

fn section(running: &Running) -> antiphon_sharding::ShardingSection {
    antiphon_sharding::ShardingSection::new(&running.node)
}

/// The report of another node than the home would start a shard at a second node.
#[tokio::test(start_paused = true)]
async fn a_shard_is_stopped_when_its_home_says_so() {
    let world = World::new(&["A"], settings());
    let a = world.start("A", "a").await;
    ready(&[&a]).await;
    let b = world.start("A", "b").await;
    wait("b hosts shards", || b.counters.hosted_shards().len() == 2).await;
    tokio::time::sleep(5 * SECOND).await;
    let liar = world.liar("A", &a).await;
    let hosted = b.counters.hosted_shards();

    world.network.cut_both(a.node.id(), b.node.id());
    let leaving = b.node.clone();
    let left = antiphon_base::task::spawn("b leaves", async move { leaving.leave().await });
    let moving = loop {
        let homes = liar.homes(&a).await.homes;
        match homes.get(&hosted[0]) {
            Some(Home::Moving(node, id)) if node == b.node.id() => break *id,
            Some(Home::Moving(..) | Home::At(_)) | None => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let (entity_type, shard) = ("counter".to_owned(), hosted[0].clone());
    liar.tell(&a, &Message::ShardStopped { entity_type, shard, id: moving });
    wait_refused(&a, "not_the_home", 1).await;
    let home = liar.homes(&a).await.homes[&hosted[0]].clone();
    assert_eq!(home, Home::Moving(b.node.id().clone(), moving), "it is still there");

    world.network.heal_all();
    let _ = left.await.unwrap();
    wait("a has all shards", || a.counters.hosted_shards().len() == 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_type_can_take_commands_of_its_own_place_only() {
    let only_own = ShardingSettings { commands_from: CommandsFrom::Place, ..settings() };
    let world = World::new(&["A", "B"], only_own);
    let (a, b) = (world.start("A", "a").await, world.start("B", "b").await);
    let second = world.start("A", "a-2").await;
    ready(&[&a, &b, &second]).await;
    wait("shards are spread", || second.counters.hosted_shards().len() == 2).await;
    for number in 0..8 {
        let id = format!("c-{number}");
        assert_eq!(add(&a, "A", &id).await, 1, "a node of the own place");
        let asked = counter(&b, "A", &id).ask(|reply_to| Command::Get { reply_to }).await;
        let Err(EntityError::Rejected(why)) = asked else { panic!("{asked:?}") };
        assert!(why.contains("`commands_from`") && why.contains("place `A`"), "{why}");
        wait_for(&b, "B", &id, 1).await;
    }
    assert_eq!(refused(&a, "other_place") + refused(&second, "other_place"), 8);
    let liar = world.liar("B", &a).await;
    let asked = liar.node.gate().ask(a.node.id(), COMMANDS, command("A", "x", GET), SECOND).await;
    assert!(matches!(asked, Err(AskError::Rejected(_))), "{asked:?}");
}

/// The time of an entity at a node, in microseconds.
async fn time(running: &Running, place: &str, id: &str) -> u64 {
    counter(running, place, id).ask(|reply_to| Command::Now { reply_to }).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_an_hour_ahead_loses_nothing_and_sets_no_other_clock_wrong() {
    let world = World::new(&["A", "B"], settings());
    let hour = Duration::from_secs(3600);
    let (a, b) = (world.start("A", "a").await, world.start_ahead("B", "b", hour).await);
    ready(&[&a, &b]).await;
    assert_eq!(get(&b, "A", "x").await, 0, "b knows the home at A, and sends events there");
    let before = SystemClock.wall().as_micros();
    assert_eq!(add(&b, "B", "x").await, 1);
    assert_eq!(add(&a, "A", "x").await, 1);
    wait_for(&a, "A", "x", 2).await;
    wait_for(&b, "B", "x", 2).await;
    assert!(time(&b, "B", "x").await >= before + 3_600_000_000, "its own times go on");
    let apart = time(&a, "A", "x").await.saturating_sub(SystemClock.wall().as_micros());
    assert!(apart <= 60_000_000, "{apart} us ahead");
    assert!(refused(&a, "event_ahead") >= 1);
    assert_eq!(refused(&b, "event_ahead"), 0);
    assert_eq!(a.counters.counter("events_ahead"), 1);
    assert_eq!(b.counters.counter("events_ahead"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_home_that_a_coordinator_does_not_know_is_none() {
    let world = World::new(&["A"], settings());
    let a = world.start("A", "a").await;
    ready(&[&a]).await;
    let liar = world.liar("A", &a).await;
    let homes = liar.homes(&a).await;
    assert_eq!(homes.version.token, token(&a), "the homes are under the token of the lease");
    let me = Home::At(NodeId::new("a", 1).unwrap());
    assert!(homes.homes.values().all(|home| *home == me), "{homes:?}");
}
