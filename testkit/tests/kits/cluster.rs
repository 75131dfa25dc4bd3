//! A `TestCluster` does what its faults say, the same each time, and refuses wrong use with an
//! error that says what to do.

use std::time::{Duration, Instant};

use antiphon_base::ErrorKind;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_testkit::examples::{Command, Counter};
use antiphon_testkit::{TestCluster, TestClusterBuilder};

use crate::entities::{Ask, Bug, Notes};

fn two_places() -> TestClusterBuilder {
    TestCluster::builder().place("eu", 2).place("us", 1).entity(Counter::provider())
}

fn add(delta: i64) -> impl FnOnce(antiphon_persistence::reply::ReplyTo<i64>) -> Command {
    move |reply_to| Command::Add { delta, reply_to }
}

/// The error of a start.
fn refusal(builder: TestClusterBuilder) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let error = runtime.block_on(builder.start()).err();
    let error = error.expect("wrong use");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    error.to_string()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the time that a user waits")]
fn a_cluster_is_up_in_less_than_a_second() {
    let begin = Instant::now();
    two_places().run(async |cluster| {
        assert_eq!(cluster.ask::<Counter, _>("us-0", "c-1", add(1)).await?, 1);
        Ok(())
    });
    // debug builds on a busy machine
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn a_killed_node_is_replaced_and_comes_back() {
    two_places().run(async |cluster| {
        cluster.ask::<Counter, _>("eu-0", "c-1", add(2)).await?;
        cluster.kill("eu-0")?;
        let add = async || cluster.ask::<Counter, _>("eu-1", "c-1", add(1)).await.is_ok();
        cluster.until("eu-1 answers", add).await?;
        cluster.restart("eu-0").await?;
        assert!(cluster.node("eu-0")?.is_live());
        let agreed = cluster.until_agreed::<Counter>("c-1").await?;
        assert!(*agreed.state() >= 3, "{}", agreed.state());
        Ok(())
    });
}

#[test]
fn a_cut_node_stays_cut_when_it_starts_again() {
    two_places().run(async |cluster| {
        cluster.cut_places("eu", "us")?;
        cluster.kill("us-0")?;
        cluster.restart("us-0").await?;
        let far = cluster.entity_at::<Counter>("us-0", "c-1", "eu")?;
        let answer = far.ask(add(1)).await;
        assert!(answer.is_err(), "the places are cut: {answer:?}");
        cluster.heal();
        let heals = async || far.ask(add(1)).await.is_ok();
        cluster.until("the places are connected", heals).await
    });
}

#[test]
fn an_append_with_an_unknown_outcome_is_told_as_such() {
    two_places().run(async |cluster| {
        cluster.lose_append_answers::<Counter>("c-1", "eu", 1)?;
        let counter = cluster.entity::<Counter>("eu-0", "c-1")?;
        let stored = counter.ask(add(1)).await.unwrap_err();
        assert!(!stored.is_without_effect(), "{stored}");
        cluster.fail_appends::<Counter>("c-2", "eu", 1)?;
        let refused = cluster.entity::<Counter>("eu-0", "c-2")?.ask(add(1)).await.unwrap_err();
        assert!(refused.is_without_effect(), "{refused}");
        assert_eq!(*cluster.until_agreed::<Counter>("c-1").await?.state(), 1);
        assert_eq!(*cluster.until_agreed::<Counter>("c-2").await?.state(), 0);
        Ok(())
    });
}

#[test]
fn slow_stores_make_an_answer_late_by_the_clock_of_the_cluster() {
    two_places().run(async |cluster| {
        let took = async || {
            let begin = SystemClock.now();
            let answer = cluster.ask::<Counter, _>("eu-0", "c-1", add(1)).await;
            answer.map(|_| SystemClock.now() - begin)
        };
        took().await?;
        let usual = took().await?;
        cluster.slow_stores("eu", Duration::from_secs(1))?;
        let slow = took().await?;
        assert!(usual < Duration::from_millis(100) && slow >= Duration::from_secs(1), "{slow:?}");
        Ok(())
    });
}

#[test]
fn replicas_with_the_same_events_and_other_states_are_an_error_with_both_states() {
    let builder = TestCluster::builder().place("eu", 1).place("us", 1);
    builder.entity(Notes::provider(Bug::Order)).run(async |cluster| {
        cluster.cut_places("eu", "us")?;
        for (node, note) in [("eu-0", 1), ("us-0", 2)] {
            let ask = |reply_to| Ask { note, reply_to };
            cluster.ask::<Notes, _>(node, "n-1", ask).await?;
        }
        cluster.heal();
        let error = cluster.until_agreed::<Notes>("n-1").await.err().expect("other states");
        let text = error.to_string();
        assert!(text.contains("[1, 2]") && text.contains("[2, 1]"), "{text}");
        Ok(())
    });
}

#[test]
fn the_same_seed_gives_the_same_story() {
    let story = || {
        let mut told = Vec::new();
        two_places().seed(5).run(async |cluster| {
            cluster.lose("eu-0", "us-0", 30)?;
            cluster.delay("eu-0", "eu-1", Duration::from_millis(7))?;
            for number in 0..20 {
                let begin = SystemClock.now();
                let answer = cluster.ask::<Counter, _>("us-0", "c-1", add(number)).await;
                told.push(format!("{answer:?} after {:?}", SystemClock.now() - begin));
            }
            Ok(())
        });
        told
    };
    assert_eq!(story(), story());
}

#[test]
fn a_wrong_cluster_is_refused_with_its_name_and_a_remedy() {
    let counters = Counter::provider;
    let text = refusal(TestCluster::builder().entity(counters()));
    assert!(text.contains("add places with `place`"), "{text}");
    let text = refusal(TestCluster::builder().place("eu", 1));
    assert!(text.contains("add one with `entity`"), "{text}");
    let text = refusal(TestCluster::builder().place("eu", 0).entity(counters()));
    assert!(text.contains("`eu`") && text.contains("at least one node"), "{text}");
    let twice = TestCluster::builder().place("eu", 1).place("eu", 1).entity(counters());
    let text = refusal(twice);
    assert!(text.contains("each place once"), "{text}");
    let twice = TestCluster::builder().place("eu", 1).entity(counters()).entity(counters());
    let text = refusal(twice);
    assert!(text.contains("entity type `counter`") && text.contains("actual twice"), "{text}");
    let asia = antiphon_persistence::identity::ReplicaId::new("asia").unwrap();
    let text = refusal(two_places().entity(Notes::provider(Bug::None).with_replicas([asia])));
    assert!(text.contains("`asia`") && text.contains(r#"["eu", "us"]"#), "{text}");
}

#[test]
fn settings_that_a_node_refuses_are_an_error_of_the_start() {
    let mut settings = antiphon_sharding::ShardingSettings::default();
    settings.entity.mailbox_max = 0;
    let notes = Notes::provider(Bug::None).with_settings(settings);
    let text = refusal(TestCluster::builder().place("eu", 1).entity(notes));
    assert!(text.contains("mailbox_max"), "{text}");
}

#[test]
fn a_name_that_is_not_known_or_not_up_is_an_error_with_the_names_that_are() {
    two_places().run(async |cluster| {
        let text = cluster.kill("asia-0").unwrap_err().to_string();
        assert!(text.contains(r#"expected one of ["eu-0", "eu-1", "us-0"]"#), "{text}");
        let text = cluster.slow_stores("asia", Duration::ZERO).unwrap_err().to_string();
        assert!(text.contains(r#"["eu", "us"]"#), "{text}");
        let text = cluster.entity::<Notes>("eu-0", "n-1").err().unwrap().to_string();
        assert!(text.contains("Notes") && text.contains("Counter"), "{text}");
        let text = cluster.fail_appends::<Counter>("c-1", "asia", 1).unwrap_err().to_string();
        assert!(text.contains("replica `asia` of `counter`"), "{text}");
        cluster.kill("eu-0")?;
        let text = cluster.kill("eu-0").unwrap_err().to_string();
        assert!(text.contains("call `restart`"), "{text}");
        let text = cluster.entity::<Counter>("eu-0", "c-1").err().unwrap().to_string();
        assert!(text.contains("call `restart`"), "{text}");
        Ok(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_with_several_threads_is_refused() {
    let error = two_places().start().await.err().expect("a wrong runtime");
    assert!(error.to_string().contains("current-thread"), "{error}");
}
