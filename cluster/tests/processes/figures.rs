//! Figures for `docs/benchmarks.md`, which has the command.

use antiphon_base::time::{Clock, SystemClock};

use crate::support::{Nodes, Process};

#[test]
#[ignore = "a figure"]
fn calls_beside_those_of_ractor_cluster_alone() {
    let mut nodes = Nodes::start(2);
    nodes.ask(1, "join b");
    nodes.until(0, "members b", 1);
    nodes.ask(0, "rate b 6400");
    let answers = Process::spawn(&[("ANTIPHON_TEST_ALONE", "")]);
    let address = format!("127.0.0.1:{}", answers.answer());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        ours.push(nodes.number(0, "rate b 64000"));
        let caller = Process::spawn(&[("ANTIPHON_TEST_ALONE", &address)]);
        theirs.push(caller.answer().parse::<i64>().unwrap());
    }
    println!("calls in a second, 64 in flight: sessions {ours:?}, ractor_cluster alone {theirs:?}");
    let best = |rates: &[i64]| rates.iter().copied().max().unwrap_or_default();
    println!("best of each: {:.2}", best(&ours) as f64 / best(&theirs) as f64);
}

#[test]
#[ignore = "a figure"]
fn ten_thousand_groups_and_a_thousand_actors() {
    let mut nodes = Nodes::start(3);
    let before: Vec<i64> = (0..3).map(|index| nodes.number(index, "memory")).collect();
    let began = SystemClock.now();
    nodes.ask(0, "many 1000 10000");
    let spawned = SystemClock.now() - began;
    for index in [1, 2] {
        nodes.until(index, "groups", 10_000);
        nodes.until(index, "members many-9999", 1);
    }
    let known = SystemClock.now() - began;
    println!(
        "10,000 groups, 1,000 actors: made in {spawned:?}, known at two nodes after {known:?}"
    );
    for (index, before) in before.into_iter().enumerate() {
        println!("node {index}: {} KiB more", nodes.number(index, "memory") - before);
    }
    let began = SystemClock.now();
    nodes.nodes[1].proxy.cut_streams();
    nodes.until(1, "metric antiphon_actors_sessions_total", 3);
    nodes.until(1, "sessions", 2);
    nodes.until(1, "members many-9999", 1);
    println!("after a cut: in step again after {:?}", SystemClock.now() - began);
}
