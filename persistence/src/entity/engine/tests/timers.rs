//! Timers: the wakes that are asked for, the commands and their order, and the end of timers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::log::{Command, Log};
use super::world::{Mode, World, unavailable};
use crate::entity::engine::Input;
use crate::entity::{AsynchronousFailure, Effect, EntitySettings, StopReason, Timer};

const SECOND: Duration = Duration::from_secs(1);

fn after(seconds: u64, text: &'static str) -> Timer<Command> {
    Timer::once(Duration::from_secs(seconds), Command::Note(text))
}

fn world() -> World {
    World::new(&["A"])
}

fn wakes(world: &mut World) -> Vec<Duration> {
    std::mem::take(&mut world.replica("A").wakes)
}

fn counter(world: &mut World, name: &str) -> u64 {
    let values = world.replica("A").counters.values();
    values.into_iter().find(|(one, _)| *one == name).unwrap().1
}

fn with(world: &mut World, more: fn(Effect<Log>) -> Effect<Log>) {
    world.just("A", Command::With("", more));
}

#[test]
fn a_timer_fires_once_at_its_time_and_one_wake_is_asked_for() {
    let mut world = world();
    with(&mut world, |effect| effect.then_start_timer("t", after(10, "fired")));
    assert_eq!(wakes(&mut world), [10 * SECOND]);
    world.just("A", Command::Note("other"));
    assert_eq!(wakes(&mut world), [], "the wake is under way");
    world.pass(9 * SECOND);
    assert_eq!(world.texts("A"), ["other"]);
    assert_eq!(wakes(&mut world), [SECOND], "it was woken too early, and waits on");
    world.pass(SECOND);
    assert_eq!(world.texts("A"), ["other", "fired"]);
    world.pass(100 * SECOND);
    assert_eq!(world.texts("A"), ["other", "fired"]);
    assert_eq!(wakes(&mut world), []);
    assert_eq!((counter(&mut world, "timers_fired"), counter(&mut world, "timers_lost")), (1, 0));
}

#[test]
fn an_earlier_timer_asks_for_an_earlier_wake_and_timers_fire_in_the_order_of_their_times() {
    let mut world = world();
    with(&mut world, |effect| {
        effect.then_start_timer("c", after(30, "c")).then_start_timer("a", after(10, "a"))
    });
    assert_eq!(wakes(&mut world), [10 * SECOND], "one wake for both");
    with(&mut world, |effect| effect.then_start_timer("b", after(5, "b")));
    assert_eq!(wakes(&mut world), [5 * SECOND]);
    world.pass(60 * SECOND);
    assert_eq!(world.texts("A"), ["b", "a", "c"]);
}

#[test]
fn a_timer_that_is_started_again_takes_the_place_of_the_one_before() {
    let mut world = world();
    with(&mut world, |effect| effect.then_start_timer("t", after(10, "first")));
    world.pass(9 * SECOND);
    with(&mut world, |effect| effect.then_start_timer("t", after(10, "second")));
    world.pass(9 * SECOND);
    assert_eq!(world.texts("A"), [""; 0]);
    world.pass(SECOND);
    assert_eq!(world.texts("A"), ["second"]);
}

/// A world in which commands wait for a future, and how it ends.
fn held_up(more: fn(Effect<Log>) -> Effect<Log>) -> World {
    let mut world = world();
    with(&mut world, more);
    world.mode = Mode::Hold;
    let (reply_to, _) = crate::reply::reply_channel();
    world.just("A", Command::LaterOr(reply_to));
    world
}

fn go_on(world: &mut World) {
    world.replica("A").held.clear();
    world.mode = Mode::Flow;
    let failed = Err(AsynchronousFailure::Panicked);
    world.feed("A", Input::AsynchronousDone(0, failed));
}

#[test]
fn a_timer_whose_command_waits_does_not_fire_again() {
    let mut world = held_up(|effect| {
        let note = |text| move || Command::Note(text);
        effect
            .then_start_timer("delay", Timer::with_fixed_delay(10 * SECOND, note("delay")))
            .then_start_timer("rate", Timer::at_fixed_rate(10 * SECOND, note("rate")))
    });
    for _ in 0..35 {
        world.pass(SECOND);
    }
    go_on(&mut world);
    assert_eq!(world.texts("A"), ["later", "delay", "rate"], "35 s after the start");
    world.pass(5 * SECOND);
    assert_eq!(world.texts("A")[3..], ["rate"], "the next multiple");
    world.pass(5 * SECOND);
    assert_eq!(world.texts("A")[4..], ["delay"], "10 s after the last one");
    world.pass(5 * SECOND);
    assert_eq!(world.texts("A")[5..], ["rate"]);
}

#[test]
fn a_cancelled_timer_has_no_command_that_waits() {
    let mut world = held_up(|effect| {
        effect.then_start_timer("t", after(10, "cancelled")).then_start_timer("u", after(10, "u"))
    });
    with(&mut world, |effect| effect.then_cancel_timer("t").then_cancel_timer("unknown"));
    world.pass(10 * SECOND);
    go_on(&mut world);
    assert_eq!(world.texts("A"), ["later", "u"]);
}

#[test]
fn the_receive_timeout_counts_from_the_last_command_and_asks_for_few_wakes() {
    let mut world = world();
    with(&mut world, |effect| {
        let idle = || Command::Note("idle");
        effect
            .then_set_receive_timeout(10 * SECOND, idle)
            .then_start_timer("t", Timer::at_fixed_rate(60 * SECOND, || Command::Note("tick")))
    });
    assert_eq!(wakes(&mut world), [10 * SECOND]);
    for _ in 0..9 {
        world.just("A", Command::Note("x"));
    }
    assert_eq!(wakes(&mut world), [], "a command asks for no wake");
    world.pass(4 * SECOND);
    world.just("A", Command::Note("y"));
    world.pass(6 * SECOND);
    assert_eq!(world.texts("A").len(), 10, "4 s are left");
    assert_eq!(wakes(&mut world).last(), Some(&(4 * SECOND)));
    world.pass(4 * SECOND);
    assert_eq!(world.texts("A")[10..], ["idle"]);
    world.pass(10 * SECOND);
    assert_eq!(world.texts("A")[11..], ["idle"], "until it is cancelled");
    with(&mut world, |effect| effect.then_cancel_receive_timeout());
    world.pass(35 * SECOND);
    assert_eq!(world.texts("A")[12..], [""; 0]);
    world.pass(SECOND);
    assert_eq!(world.texts("A")[12..], ["tick"], "the timer is another one");
}

#[test]
fn a_command_before_the_turn_of_the_receive_timeout_puts_it_off() {
    let mut world =
        held_up(|effect| effect.then_set_receive_timeout(10 * SECOND, || Command::Note("idle")));
    world.just("A", Command::Note("in between"));
    world.pass(10 * SECOND);
    go_on(&mut world);
    assert_eq!(world.texts("A"), ["later", "in between"]);
    world.pass(10 * SECOND);
    assert_eq!(world.texts("A"), ["later", "in between", "idle"]);
}

#[test]
fn too_many_timers_reject_the_command_before_anything_is_stored() {
    let settings = EntitySettings { timers_max: 2, pull_at_start: false, ..Default::default() };
    let mut world = World::with(&["A"], settings);
    world.just(
        "A",
        Command::With("two", |effect| {
            effect.then_start_timer("a", after(1, "a")).then_start_timer("b", after(1, "b"))
        }),
    );
    world.just("A", Command::With("three", |effect| effect.then_start_timer("c", after(1, "c"))));
    assert_eq!(world.texts("A"), ["two"]);
    assert_eq!(counter(&mut world, "timers_refused"), 1);
    // one that takes the place of another is not one more
    world.just(
        "A",
        Command::With("again", |effect| {
            effect
                .then_start_timer("b", after(1, "b2"))
                .then_cancel_timer("a")
                .then_start_timer("c", after(2, "c2"))
        }),
    );
    world.pass(2 * SECOND);
    assert_eq!(world.texts("A"), ["two", "again", "b2", "c2"]);
}

#[test]
fn a_time_out_of_range_rejects_the_command() {
    let mut world = world();
    world.just(
        "A",
        Command::With("x", |effect| {
            effect
                .then_start_timer("t", Timer::at_fixed_rate(Duration::ZERO, || Command::Note("t")))
        }),
    );
    world.just(
        "A",
        Command::With("x", |effect| {
            effect.then_start_timer("t", Timer::once(Duration::MAX, Command::Note("t")))
        }),
    );
    world.just(
        "A",
        Command::With("x", |effect| {
            effect.then_set_receive_timeout(Duration::ZERO, || Command::Note("t"))
        }),
    );
    assert_eq!(world.texts("A"), [""; 0]);
    assert_eq!(counter(&mut world, "timers_refused"), 3);
    with(&mut world, |effect| effect.then_start_timer("t", after(0, "at once")));
    world.pass(Duration::ZERO);
    assert_eq!(world.texts("A"), ["at once"]);
}

#[test]
fn a_timer_whose_command_cannot_be_made_ends_and_the_others_go_on() {
    let mut world = world();
    with(&mut world, |effect| {
        let bad = || panic!("the test wants it");
        effect
            .then_start_timer("bad", Timer::at_fixed_rate(SECOND, bad))
            .then_start_timer("good", Timer::at_fixed_rate(SECOND, || Command::Note("good")))
    });
    world.pass(SECOND);
    world.pass(SECOND);
    assert_eq!(world.texts("A"), ["good", "good"]);
    assert_eq!(counter(&mut world, "handler_panics"), 1);
}

#[test]
fn timers_are_forgotten_with_the_state_when_events_cannot_be_stored() {
    let mut world = world();
    world.mode = Mode::Hold;
    world.just("A", Command::With("lost", |effect| effect.then_start_timer("t", after(1, "t"))));
    world.fail_io("A", unavailable());
    assert_eq!(counter(&mut world, "timers_lost"), 1);
    world.mode = Mode::Flow;
    world.pass(60 * SECOND);
    world.pass(60 * SECOND);
    assert_eq!(world.texts("A"), [""; 0], "neither the event nor its timer");
}

#[test]
fn a_timer_of_an_earlier_start_never_fires_and_is_counted() {
    let mut world = held_up(|effect| {
        effect.then_start_timer("a", after(1, "a")).then_start_timer("b", after(60, "b"))
    });
    world.pass(SECOND);
    world.feed("A", Input::Stop);
    go_on(&mut world);
    assert_eq!(world.replica("A").stopped, Some(StopReason::Drained));
    assert_eq!(counter(&mut world, "timers_lost"), 2, "also the one whose command waited");
    world.restart("A");
    world.pass(60 * SECOND);
    assert_eq!(world.texts("A"), ["later"]);
    assert_eq!(counter(&mut world, "timers_fired"), 0);
}

#[test]
fn an_entity_with_a_timer_is_not_empty() {
    let mut world = world();
    assert_eq!(world.replica("A").engine.is_empty(), Some(true));
    with(&mut world, |effect| effect.then_start_timer("t", after(1, "t")));
    assert_eq!(world.replica("A").engine.is_empty(), Some(false));
    with(&mut world, |effect| effect.then_cancel_timer("t"));
    assert_eq!(world.replica("A").engine.is_empty(), Some(true));
    assert_eq!(world.replica("A").counters.timers_lost.load(Ordering::Relaxed), 0);
}

#[test]
fn an_entity_without_timers_has_one_pointer_for_them() {
    use crate::entity::engine::timers::Timers;
    assert_eq!(size_of::<Timers<Command>>(), size_of::<usize>());
}
