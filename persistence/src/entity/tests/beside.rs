//! Futures beside the commands, in real actors.

use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};

use super::{Command, fixture, quiet, spawn};
use crate::entity::{EntitySettings, StopReason};
use crate::reply::AskFailure;

#[tokio::test(start_paused = true)]
async fn an_entity_answers_while_its_future_runs_and_gets_the_time_out_as_a_value() {
    let fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    let begun = SystemClock.now();
    let waits = entity.try_ask(|to| Command::Beside(1, false, to));
    let others = async {
        assert_eq!(entity.ask(|to| Command::Add(2, to)).await, Ok(3), "nobody waits");
        assert_eq!(SystemClock.now() - begun, Duration::ZERO);
    };
    let (waited, ()) = tokio::join!(waits, others);
    let Err(AskFailure::Refused(why)) = waited else { panic!("{waited:?}") };
    assert!(why.contains("`asynchronous_timeout`"), "{why}");
    assert_eq!(SystemClock.now() - begun, EntitySettings::default().asynchronous_timeout);
    assert_eq!(fixture.runtime.counters().asynchronous_timeouts.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_future_is_a_value_and_one_beyond_the_limit_too() {
    let fixture = fixture(EntitySettings { asynchronous_max: 1, ..quiet() }).await;
    let entity = spawn(&fixture);
    let panicked = entity.try_ask(|to| Command::Beside(1, true, to)).await;
    let why = AskFailure::Refused("an asynchronous effect panicked".to_owned());
    assert_eq!(panicked, Err(why));

    let waits = entity.try_ask(|to| Command::Beside(1, false, to));
    let beyond = entity.try_ask(|to| Command::Beside(1, false, to));
    let (_, beyond) = tokio::join!(waits, beyond);
    let Err(AskFailure::Refused(why)) = beyond else { panic!("{beyond:?}") };
    assert!(why.contains("`asynchronous_max`"), "{why}");
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(4), "each event was stored");
}

#[tokio::test(start_paused = true)]
async fn a_kill_drops_the_futures_and_their_askers_know_no_effect() {
    let mut fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    let waits = entity.try_ask(|to| Command::Beside(1, false, to));
    let kills = async {
        assert_eq!(entity.ask(|to| Command::Add(2, to)).await, Ok(3));
        entity.kill();
    };
    let (waited, ()) = tokio::join!(waits, kills);
    let Err(AskFailure::NoAnswer(error)) = waited else { panic!("{waited:?}") };
    assert!(!error.is_without_effect(), "{error}");
    assert_eq!(fixture.stopped.recv().await, Some(StopReason::Killed));
}
