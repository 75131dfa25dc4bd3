//! Nodes on a network in memory, with hostile messages, cuts and new homes. Time is paused.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::entity::EntitySettings;
use antiphon_runtime::{AskError, ServiceId};
use antiphon_sharding::ShardingSettings;
use bytes::Bytes;

use crate::world::{
    COMMANDS, Command, GET, SECOND, SHARDING, World, add, counter, get, ready, settings, wait, wire,
};

fn rejected(answer: &Result<Bytes, AskError>) -> bool {
    matches!(answer, Err(AskError::Rejected(_) | AskError::NotHere(_)))
}

/// An entity id that cannot exist left a shard that never drained: the stop took 20 s and failed.
#[tokio::test(start_paused = true)]
async fn garbage_in_commands_is_refused_counted_and_leaves_nothing_behind() {
    let world = World::new(&["A"], settings());
    let a = world.start("A", "a").await;
    ready(&[&a]).await;
    let liar = world.liar("A", &a).await;
    let ask = |bytes: Bytes| liar.node.gate().ask(a.node.id(), COMMANDS, bytes, 10 * SECOND);

    let good = [&b"counter"[..], b"x", b"A"];
    assert!(ask(wire(0, 1, good, GET)).await.is_ok(), "the test knows the wire");
    let long = vec![b'x'; 600];
    let before = SystemClock.now();
    for bytes in [
        wire(0, 1, [b"counter", b"", b"A"], GET),
        wire(0, 1, [b"counter", b"a|b", b"A"], GET),
        wire(0, 1, [b"counter", b"a\n\x1b[2J", b"A"], GET),
        wire(0, 1, [b"counter", &long, b"A"], GET),
        wire(0, 1, [b"counter", &[0xff], b"A"], GET),
        wire(0, 1, [b"counter", b"x", b"B"], GET),
        wire(0, 1, [b"counter", b"x", b""], GET),
        wire(0, 1, [b"none\n", b"x", b"A"], GET),
        wire(0, u32::MAX, good, &vec![0; 100_000]),
        wire(0, 1000, good, &vec![0; 8_000_000]),
        wire(0, 1, good, &[9]),
        wire(0, 1, good, &[1]),
        wire(0, 1, good, &[1, 0, 0]),
        wire(0xff, 1, good, GET),
        wire(0x3f, 1, good, GET),
        wire(0x80, 1, [b"counter", b"x", b"B"], GET),
        Bytes::new(),
        Bytes::from_static(&[0; 12]),
    ] {
        let answer = ask(bytes.clone()).await;
        let shown = &bytes[..bytes.len().min(40)];
        assert!(rejected(&answer), "{answer:?} for {shown:?}");
    }
    assert!(SystemClock.now() - before < SECOND, "each is answered at once");
    assert_eq!(get(&a, "A", "x").await, 0);

    let text = a.metrics.text();
    assert!(text.contains(r#"antiphon_wire_refused_total{reason="malformed"}"#), "{text}");
    assert!(text.contains(r#"outcome="received_malformed""#), "{text}");
    liar.node.leave().await.unwrap();
    let before = SystemClock.now();
    a.node.leave().await.unwrap();
    assert!(SystemClock.now() - before < 5 * SECOND, "the shards drain");
}

#[tokio::test(start_paused = true)]
async fn garbage_in_control_messages_and_random_bytes_do_nothing() {
    let world = World::new(&["A", "B"], settings());
    let (a, b) = (world.start("A", "a").await, world.start("B", "b").await);
    ready(&[&a, &b]).await;
    let liar = world.liar("A", &a).await;
    let mut random = antiphon_runtime::transport::memory::SplitMix64::new(7);
    for _ in 0..2000 {
        let length = random.next_u64() % 40;
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first %= 6;
        }
        if random.next_u64().is_multiple_of(2) && bytes.len() > 9 {
            bytes[1] = 7;
            bytes[2..9].copy_from_slice(b"counter");
        }
        for service in [COMMANDS, SHARDING, ServiceId(1), ServiceId(24)] {
            let _ = liar.node.gate().tell(a.node.id(), service, bytes.clone().into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(add(&a, "A", "x").await, 1);
    let text = a.metrics.text();
    assert!(text.contains("antiphon_gate_service_panics_total 0"), "{text}");
    liar.node.leave().await.unwrap();
    a.node.leave().await.unwrap();
}

/// An entity without events cost 6 KB for two minutes.
#[tokio::test(start_paused = true)]
async fn asking_for_entities_that_never_were_costs_no_memory_for_long() {
    let world = World::new(&["A"], settings());
    let a = world.start("A", "a").await;
    ready(&[&a]).await;
    add(&a, "A", "real").await;
    for number in 0..500 {
        assert_eq!(get(&a, "A", &format!("unknown-{number}")).await, 0);
    }
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(a.counters.entity_count(), 1, "the one with an event is still there");
    assert_eq!(get(&a, "A", "real").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_has_a_bound_of_entities_over_all_shards_and_all_are_answered() {
    let world = World::new(&["A"], ShardingSettings { entities_max: 40, ..settings() });
    let a = world.start("A", "a").await;
    ready(&[&a]).await;
    for round in 1..3 {
        for number in 0..300 {
            let id = format!("c-{number}");
            let counter = counter(&a, "A", &id);
            let added = counter.ask(|reply_to| Command::Add { delta: 1, reply_to }).await;
            assert_eq!(added, Ok(round), "{id}");
            assert!(a.counters.entity_count() <= 45, "{}", a.counters.entity_count());
        }
    }
    tokio::time::sleep(SECOND).await;
    assert!(a.counters.entity_count() <= 40, "{}", a.counters.entity_count());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_from_another_reaches_its_shards_through_a_third() {
    let world = World::new(&["A"], settings());
    let a = world.start("A", "a").await;
    ready(&[&a]).await;
    let (b, c) = (world.start("A", "b").await, world.start("A", "c").await);
    for node in [&a, &b, &c] {
        wait("shards are spread", || !node.counters.hosted_shards().is_empty()).await;
    }
    tokio::time::sleep(5 * SECOND).await;
    let hosted = b.counters.hosted_shards();
    let ids: Vec<String> = (0..200).map(|number| format!("c-{number}")).collect();
    let at_b = |id: &&String| {
        let slice = antiphon_persistence::identity::Slice::of("counter", id);
        let number = antiphon_sharding::ShardId::number_of(slice, 4);
        hosted.iter().any(|shard| shard.number == number)
    };
    let id = ids.iter().find(at_b).expect("an entity at b");
    assert_eq!(add(&a, "A", id).await, 1);

    world.network.cut_both(a.node.id(), b.node.id());
    world.network.break_connection(a.node.id(), b.node.id());
    wait("a has lost b", || !a.node.gate().is_connected(b.node.id())).await;
    let cut_at = SystemClock.now();
    for count in 2..5 {
        assert_eq!(add(&a, "A", id).await, count);
    }
    assert!(SystemClock.now() - cut_at < SECOND, "{:?}", SystemClock.now() - cut_at);
    assert!(b.counters.hosted_shards() == hosted, "it was b that answered");
    assert!(a.metrics.text().contains(r#"outcome="through_relay""#));

    // a command that the relay cannot pass on is refused by the relay, and waits here: it does not
    // go round in circles
    world.network.cut_both(c.node.id(), b.node.id());
    world.network.break_connection(c.node.id(), b.node.id());
    wait("c has lost b", || !c.node.gate().is_connected(b.node.id())).await;
    let asked = counter(&a, "A", id).with_ask_timeout(SECOND);
    let answer = asked.ask(|reply_to| Command::Get { reply_to }).await;
    assert!(answer.is_err() || !b.node.is_live(), "{answer:?}");
}

/// Without a signal the next read of the journal loop brought the events, up to 15 s later.
#[tokio::test(start_paused = true)]
async fn after_a_fail_over_what_was_written_meanwhile_is_at_the_new_home_in_300_ms() {
    let slow = 600 * SECOND;
    let world = World::new(
        &["A", "B"],
        ShardingSettings { loop_interval: slow, loop_interval_max: slow, ..settings() },
    );
    let (a, b, other) =
        (world.start("A", "a").await, world.start("B", "b").await, world.start("B", "c").await);
    ready(&[&a, &b, &other]).await;
    tokio::time::sleep(5 * SECOND).await;
    let ids: Vec<String> = (0..20).map(|number| format!("c-{number}")).collect();
    for id in &ids {
        add(&a, "A", id).await;
    }
    for id in &ids {
        let until = SystemClock.now() + SECOND;
        while get(&other, "B", id).await < 1 {
            assert!(SystemClock.now() < until, "direct replication brings `{id}`");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    world.network.crash(b.node.id());
    b.node.crash();
    for id in &ids {
        add(&a, "A", id).await;
    }
    wait("the other node has all shards", || other.counters.hosted_shards().len() == 4).await;
    let began = SystemClock.now();
    let mut late = Vec::new();
    for id in &ids {
        while get(&other, "B", id).await < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if SystemClock.now() > began + 300 * SECOND {
                late.push(id.clone());
                break;
            }
        }
    }
    let took = SystemClock.now() - began;
    assert!(late.is_empty(), "never: {late:?}");
    assert!(took <= Duration::from_millis(300), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn when_the_link_between_places_is_back_both_read_what_they_missed_at_once() {
    let slow = 600 * SECOND;
    let settings = ShardingSettings {
        loop_interval: slow,
        loop_interval_max: slow,
        entity: EntitySettings { pull_at_start: false, ..EntitySettings::default() },
        ..settings()
    };
    let world = World::new(&["A", "B"], settings);
    let (a, b) = (world.start("A", "a").await, world.start("B", "b").await);
    ready(&[&a, &b]).await;
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(get(&a, "A", "x").await + get(&b, "B", "x").await, 0);

    world.network.cut_both(a.node.id(), b.node.id());
    world.network.break_connection(a.node.id(), b.node.id());
    tokio::time::sleep(SECOND).await;
    add(&a, "A", "x").await;
    add(&b, "B", "x").await;
    tokio::time::sleep(SECOND).await;
    assert_eq!((get(&a, "A", "x").await, get(&b, "B", "x").await), (1, 1));

    world.network.heal_all();
    wait("they are connected", || a.node.gate().is_connected(b.node.id())).await;
    let back = SystemClock.now();
    while (get(&a, "A", "x").await, get(&b, "B", "x").await) != (2, 2) {
        let took = SystemClock.now() - back;
        assert!(took <= Duration::from_millis(300), "{took:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
