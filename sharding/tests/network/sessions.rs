//! Sessions that go from place to place: over links, by direct replication, and by the journal
//! alone.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::entity::EntitySettings;
use antiphon_persistence::version::{SessionToken, VersionVector};
use antiphon_sharding::{AskError, ShardingSettings};

use crate::world::{Command, SECOND, World, counter, ready, replica, settings, wait_for};

fn add(reply_to: antiphon_persistence::reply::ReplyTo<i64>) -> Command {
    Command::Add { delta: 1, reply_to }
}

fn get(reply_to: antiphon_persistence::reply::ReplyTo<i64>) -> Command {
    Command::Get { reply_to }
}

/// A journal loop that reads once an hour.
fn hourly() -> ShardingSettings {
    let hour = Duration::from_secs(3600);
    ShardingSettings { loop_interval: hour, loop_interval_max: hour, ..settings() }
}

#[tokio::test(start_paused = true)]
async fn a_session_reads_its_write_at_the_other_place_while_the_links_are_cut() {
    let world = World::new(&["A", "B"], hourly());
    let (a, b) = (world.start("A", "a").await, world.start("B", "b").await);
    ready(&[&a, &b]).await;
    wait_for(&a, "A", "c-1", 0).await;
    wait_for(&b, "B", "c-1", 0).await;
    world.network.cut_both(a.node.id(), b.node.id());

    let (sum, token) = counter(&a, "A", "c-1").ask_with_version(add).await.unwrap();
    assert_eq!(sum, 1);
    let there = counter(&b, "B", "c-1");
    assert_eq!(there.ask(get).await, Ok(0), "without the token, as ever");
    let begin = SystemClock.now();
    let (read, later) = there.after(&token).ask_with_version(get).await.unwrap();
    assert_eq!(read, 1);
    assert!(SystemClock.now() - begin < SECOND, "it did not wait for the journal loop");
    assert_eq!(later, token, "the text of a token is kept by its client");
    assert_eq!(SessionToken::parse(&later.to_string()).unwrap(), token);

    // and back, with a write of the other place
    let (_, token) = there.after(&later).ask_with_version(add).await.unwrap();
    assert_eq!(counter(&a, "A", "c-1").after(&token).ask(get).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn asks_over_a_link_carry_their_sessions_and_bring_the_versions_of_the_answers() {
    let world = World::new(&["A", "B"], settings());
    let (a, b) = (world.start("A", "a").await, world.start("B", "b").await);
    ready(&[&a, &b]).await;
    for place in ["A", "B"] {
        wait_for(&a, place, "c-1", 0).await;
    }
    // both replicas are asked at the node of A
    let (mut token, mut sum) = (None, 0);
    for turn in 0..10 {
        let place = ["A", "B"][turn % 2];
        let mut entity = counter(&a, place, "c-1");
        if let Some(token) = &token {
            entity = entity.after(token);
        }
        let (answer, next) = entity.ask_with_version(add).await.unwrap();
        sum += 1;
        assert_eq!(answer, sum, "every write of the session is there");
        assert_eq!(next.version().event_count(), u64::try_from(sum).unwrap());
        token = Some(next);
    }
}

#[tokio::test(start_paused = true)]
async fn an_invented_token_waits_within_the_time_of_its_ask_and_the_missing_events_are_named() {
    let world = World::new(&["A", "B"], settings());
    let (a, b) = (world.start("A", "a").await, world.start("B", "b").await);
    ready(&[&a, &b]).await;
    wait_for(&a, "B", "c-1", 0).await;
    let invented = [(replica("A"), 1_000_000), (replica("B"), 1)];
    let seen: VersionVector = invented.into_iter().collect();
    // at the replica of this node, and of the node over the link
    for place in ["A", "B"] {
        let entity = counter(&a, place, "c-1").with_ask_timeout(2 * SECOND);
        let token = SessionToken::new(entity.replication_id(), seen.clone());
        let begin = SystemClock.now();
        let error = entity.after(&token).ask(add).await.unwrap_err();
        let AskError::Behind(missing) = &error else { panic!("{place}: {error}") };
        let text = "events 1 to 1000000 of `A`, event 1 of `B`";
        assert_eq!(missing.to_string(), text);
        let waited = SystemClock.now() - begin;
        assert!(waited >= SECOND && waited < 2 * SECOND, "{waited:?}");
        assert!(error.is_without_effect());
        assert_eq!(entity.ask(get).await, Ok(0), "it was not handled");

        let other = counter(&a, place, "c-2").after(&token);
        let error = other.ask(get).await.unwrap_err();
        assert!(matches!(&error, AskError::Rejected(why) if why.contains("`counter|c-1`")));
        assert_eq!(
            other
                .after(&token)
                .tell_acknowledged(Command::Get {
                    reply_to: antiphon_persistence::reply::reply_channel().0,
                })
                .await,
            Err(error)
        );
    }
    drop(b);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_ask_gives_the_place_back_at_which_it_waits_for_events() {
    let entity = EntitySettings { behind_max: 1, ..EntitySettings::default() };
    let world = World::new(&["A", "B"], ShardingSettings { entity, ..settings() });
    let (a, b) = (world.start("A", "a").await, world.start("B", "b").await);
    ready(&[&a, &b]).await;
    wait_for(&a, "A", "c-1", 0).await;
    let there = counter(&a, "A", "c-1").with_ask_timeout(60 * SECOND);
    let seen = [(replica("B"), 1)].into_iter().collect();
    let late = there.after(&SessionToken::new(there.replication_id(), seen));

    let cancelled = tokio::time::timeout(SECOND, late.ask(get)).await;
    assert!(cancelled.is_err(), "it waits for its events: {cancelled:?}");
    let second = late.with_ask_timeout(SECOND);
    let error = second.ask(get).await.unwrap_err();
    assert!(matches!(error, AskError::Behind(_)), "{error}");
    drop(b);
}
