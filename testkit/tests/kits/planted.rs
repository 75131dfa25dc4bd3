//! Faults that are planted in small entities: `simulate` finds each, makes it small, and prints a
//! command that repeats it.

use std::process::{Command, Output};

use antiphon_testkit::{Failure, TestCluster, simulate};

use crate::entities::{Ask, Bug, Notes};

/// Runs the simulation of the notes with a bug.
fn failure_of(bug: Bug) -> Failure {
    let simulation = simulate(Notes::provider(bug), 0..9_u8, async |notes, note| {
        notes.ask(|reply_to| Ask { note, reply_to }).await
    });
    let simulation = simulation.stores_events(|_, _| true);
    simulation.seeds(40).run().expect_err("a planted bug")
}

#[test]
fn an_event_whose_result_depends_on_the_order_is_found_and_made_small() {
    let failure = failure_of(Bug::Order);
    assert_eq!(failure.rule(), "one state", "{failure}");
    // of 36 commands and up to six faults; two are enough in principle, but they must be close
    assert!(failure.commands().len() <= 4 && failure.faults().len() <= 1, "{failure}");
}

#[test]
fn a_handler_with_randomness_is_found_by_the_second_run() {
    let failure = failure_of(Bug::Random);
    assert_eq!(failure.rule(), "determinism", "{failure}");
    assert!(failure.reason().contains("other bytes"), "{failure}");
    assert_eq!(failure.commands().len(), 1, "{failure}");
}

#[test]
fn an_event_handler_with_randomness_is_found_by_a_second_replay() {
    let failure = failure_of(Bug::RandomEvent);
    assert_eq!(failure.rule(), "one state", "{failure}");
}

#[test]
fn a_command_that_is_answered_without_its_event_is_found() {
    let failure = failure_of(Bug::Lost);
    assert_eq!(failure.rule(), "no lost write", "{failure}");
    assert_eq!(failure.commands().len(), 1, "{failure}");
}

#[test]
fn a_state_that_its_snapshot_does_not_keep_is_found() {
    let failure = failure_of(Bug::Snapshot);
    assert_eq!(failure.rule(), "one state", "{failure}");
    assert!(failure.reason().contains("from the snapshot"), "{failure}");
}

#[test]
fn a_panic_of_a_handler_is_found() {
    let failure = failure_of(Bug::Panic);
    assert_eq!(failure.rule(), "no panic", "{failure}");
    assert!(failure.reason().contains("planted"), "{failure}");
}

#[test]
fn an_entity_without_a_bug_is_fine() {
    let simulation = simulate(Notes::provider(Bug::None), 0..9_u8, async |notes, note| {
        notes.ask(|reply_to| Ask { note, reply_to }).await
    });
    let report = simulation.stores_events(|_, _| true).seeds(20).run();
    let report = report.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(report.seeds == 20 && report.answered > 200 && report.events > 400, "{report:?}");
}

/// The planted test that other tests run in a process of its own.
#[test]
#[ignore = "fails on purpose; `the_printed_command_repeats_the_failure` runs it"]
fn a_planted_bug() {
    let simulation = simulate(Notes::provider(Bug::Order), 0..9_u8, async |notes, note| {
        notes.ask(|reply_to| Ask { note, reply_to }).await
    });
    simulation.seeds(40).check();
}

/// The planted failure of a cluster that other tests run in a process of its own.
#[test]
#[ignore = "fails on purpose; `a_failed_test_of_a_cluster_prints_its_seed` runs it"]
fn a_planted_failure() {
    let builder = TestCluster::builder().place("eu", 1).entity(Notes::provider(Bug::None));
    builder.seed(5).run(async |cluster| panic!("the seed is {}", cluster.seed()));
}

#[test]
fn a_failed_test_of_a_cluster_prints_its_seed_and_takes_another_from_the_environment() {
    for (variables, seed) in [(&[][..], 5), (&[("ANTIPHON_SEED".into(), "9".into())], 9)] {
        let failed = planted("planted::a_planted_failure", variables);
        assert!(!failed.status.success());
        let text = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(text.contains(&format!("the seed is {seed}")), "{text}");
        let command = format!("repeat with: ANTIPHON_SEED={seed} cargo test");
        assert!(text.contains(&command) && text.contains("a_planted_failure"), "{text}");
    }
}

/// Runs a planted test in a process with these variables.
fn planted(test: &str, variables: &[(String, String)]) -> Output {
    let this = std::env::current_exe().expect("the binary of this test");
    Command::new(this)
        .args([test, "--exact", "--ignored", "--nocapture"])
        .envs(variables.iter().cloned())
        .output()
        .expect("a process")
}

#[test]
fn the_printed_command_repeats_the_failure() {
    let first = planted("planted::a_planted_bug", &[]);
    let text = String::from_utf8_lossy(&first.stderr).into_owned();
    let command = text.lines().find_map(|line| line.strip_prefix("repeat with: "));
    let command = command.unwrap_or_else(|| panic!("no command in: {text}"));
    assert!(command.ends_with("planted::a_planted_bug -- --exact --nocapture"), "{command}");
    let variables: Vec<(String, String)> = command
        .split(' ')
        .map_while(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(variables.len(), 3, "{command}");

    let again = planted("planted::a_planted_bug", &variables);
    assert!(!again.status.success());
    let (out, err) =
        (String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&again.stderr));
    let told = |text: &str| text.lines().find(|line| line.contains("one state")).map(str::to_owned);
    assert!(told(&text).is_some() && told(&err) == told(&text), "first: {text}\nagain: {err}");
    assert!(out.contains("command ") && out.contains("calm"), "no trace: {out}");
}
