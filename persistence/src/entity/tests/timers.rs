//! Timers on actors, under paused time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{alone, quiet};
use crate::entity::{
    CommandContext, Effect, EntityRuntime, EntitySettings, EventContext, EventSourced, Signal,
    Timer,
};
use crate::identity::ReplicationId;
use crate::reply::{ReplyError, ReplyTo};

const MINUTE: Duration = Duration::from_secs(60);

enum Command {
    Begin(ReplyTo<()>),
    TooMany(ReplyTo<()>),
    Tick,
    Idle,
    Resume,
    Ticks(ReplyTo<u32>),
}

/// Counts the ticks of a minute. `resumes`: begins again at each start.
struct Minutes {
    resumes: bool,
}

fn tick() -> Timer<Command> {
    Timer::at_fixed_rate(MINUTE, || Command::Tick)
}

impl EventSourced for Minutes {
    type Command = Command;
    type Event = ();
    type State = u32;

    fn on_command(&self, _: &CommandContext, ticks: &u32, command: Command) -> Effect<Self> {
        match command {
            Command::Begin(reply_to) => {
                Effect::reply(reply_to, ()).then_start_timer("tick", tick())
            }
            Command::TooMany(reply_to) => {
                let names = ["a", "b", "c"];
                let effect = Effect::persist(()).then_reply(reply_to, |_| ());
                names.into_iter().fold(effect, |effect, name| effect.then_start_timer(name, tick()))
            }
            Command::Tick => Effect::persist(()),
            Command::Resume => Effect::none()
                .then_start_timer("tick", tick())
                .then_set_receive_timeout(10 * MINUTE, || Command::Idle),
            Command::Idle => Effect::none().then_stop(),
            Command::Ticks(reply_to) => Effect::reply(reply_to, *ticks),
        }
    }

    fn on_event(&self, _: &EventContext, ticks: &mut u32, (): &()) {
        *ticks += 1;
    }

    fn on_signal(&self, context: &CommandContext, _: &u32, signal: &Signal) {
        if *signal == Signal::RecoveryCompleted && self.resumes {
            context.self_ref::<Self>().tell(Command::Resume).unwrap();
        }
    }
}

async fn runtime(resumes: bool) -> EntityRuntime<Minutes> {
    let settings = EntitySettings { timers_max: 2, ..quiet() };
    alone(move |_| Minutes { resumes }, settings).await
}

fn id() -> ReplicationId {
    ReplicationId::parse("minutes|m-1").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_timer_fires_at_its_rate_and_its_events_are_stored() {
    let minutes = runtime(false).await.spawn(id()).unwrap();
    minutes.ask(Command::Begin).await.unwrap();
    tokio::time::sleep(MINUTE * 7 / 2).await;
    assert_eq!(minutes.ask(Command::Ticks).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn an_entity_that_is_passivated_loses_its_timers_and_they_are_counted() {
    let runtime = runtime(false).await;
    let minutes = runtime.spawn(id()).unwrap();
    minutes.ask(Command::Begin).await.unwrap();
    tokio::time::sleep(MINUTE * 3 / 2).await;
    minutes.stop();
    while !minutes.is_gone() {
        tokio::task::yield_now().await;
    }
    assert_eq!(runtime.counters().timers_lost.load(Ordering::Relaxed), 1);

    let again = runtime.spawn(id()).unwrap();
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(again.ask(Command::Ticks).await, Ok(1), "the timer is of an earlier start");
}

#[tokio::test(start_paused = true)]
async fn an_entity_begins_its_timers_again_at_each_start_and_stops_itself_when_it_is_idle() {
    let runtime = runtime(true).await;
    for round in 1..=2 {
        let minutes = runtime.spawn(id()).unwrap();
        tokio::time::sleep(MINUTE * 19 / 2).await;
        assert_eq!(minutes.ask(Command::Ticks).await, Ok(9 + (round - 1) * 19));
        tokio::time::sleep(MINUTE * 10 - Duration::from_secs(1)).await;
        assert!(!minutes.is_gone(), "a command has put the timeout off, ticks do not");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(minutes.is_gone());
    }
    assert_eq!(runtime.counters().timers_lost.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn the_asker_of_a_command_with_too_many_timers_gets_the_setting() {
    let minutes = runtime(false).await.spawn(id()).unwrap();
    let Err(ReplyError::Rejected(why)) = minutes.ask(Command::TooMany).await else {
        panic!("expected a rejection");
    };
    assert_eq!(why, "3 timers: expected at most 2 (`timers_max`)");
    assert_eq!(minutes.ask(Command::Ticks).await, Ok(0), "nothing was stored");
}
