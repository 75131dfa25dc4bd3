//! Nodes that end, freeze and are cut; messages that do not fit; actors that end.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};

use crate::support::Nodes;

/// Three nodes with an actor in the group each.
fn three() -> Nodes {
    let mut nodes = Nodes::start(3);
    for index in 0..3 {
        nodes.ask(index, "join all");
    }
    for index in 0..3 {
        nodes.until(index, "members all", 3);
    }
    nodes
}

#[test]
fn a_node_that_is_killed_leaves_all_groups_within_three_seconds() {
    let mut nodes = three();
    nodes.nodes[2].process.signal("-KILL");
    for index in [0, 1] {
        let took = nodes.until(index, "members all", 2);
        println!("a killed node has left the groups of node {index} after {took:?}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

#[test]
fn a_call_ends_with_an_error_when_its_node_is_killed() {
    let mut nodes = Nodes::start(2);
    nodes.ask(1, "join b");
    nodes.until(0, "members b", 1);
    nodes.nodes[0].process.order("keep b");
    nodes.nodes[1].process.signal("-KILL");
    let answer = nodes.nodes[0].process.answer();
    let words: Vec<&str> = answer.split(' ').collect();
    assert_eq!(words[0], "Timeout", "{answer}");
    assert!(words[1].parse::<u64>().unwrap() < 3000, "{answer}");
    assert!(answer.contains("has ended before it answered"), "{answer}");
    let ended = nodes.number(0, "metric antiphon_actors_calls_failed_total{reason=\"ended\"}");
    assert_eq!(ended, 1);
}

#[test]
fn a_node_that_says_goodbye_leaves_all_groups_at_once() {
    let mut nodes = three();
    let left = nodes.ask(2, "leave");
    assert_eq!(left, "Ok(())");
    for index in [0, 1] {
        let took = nodes.until(index, "members all", 2);
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
}

#[test]
fn a_node_that_is_frozen_leaves_all_groups_and_its_calls_end() {
    let mut nodes = three();
    nodes.ask(2, "join c");
    nodes.until(0, "members c", 1);
    nodes.nodes[0].process.order("keep c");
    let began = SystemClock.now();
    nodes.nodes[2].process.signal("-STOP");
    let answer = nodes.nodes[0].process.answer();
    assert!(answer.contains("has ended before it answered"), "{answer}");
    for index in [0, 1] {
        nodes.until(index, "members all", 2);
        let took = SystemClock.now() - began;
        println!("a frozen node has left the groups of node {index} after {took:?}");
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
}

#[test]
fn groups_come_back_after_a_cut() {
    let mut nodes = three();
    nodes.nodes[2].proxy.cut();
    nodes.until(2, "metric antiphon_actors_sessions_ended_total{reason=\"closed\"}", 2);
    for index in 0..3 {
        nodes.until(index, "sessions", 2);
        nodes.until(index, "members all", 3);
    }
    let answer = nodes.ask(0, "echo all 1 1");
    assert!(answer.starts_with("ok 1 "), "{answer}");
}

#[test]
fn sixty_reconnects_leave_nothing_behind() {
    let mut nodes = Nodes::start(2);
    for index in 0..2 {
        nodes.ask(index, "many 20 20");
    }
    let settled = |nodes: &mut Nodes, sessions: i64| {
        for index in 0..2 {
            nodes.until(index, "metric antiphon_actors_sessions_total", sessions);
            nodes.until(index, "sessions", 1);
            nodes.until(index, "members many-7", 2);
        }
    };
    let mut memory = [0, 0];
    for round in 1..=60 {
        settled(&mut nodes, round);
        if round == 20 {
            memory = [nodes.number(0, "memory"), nodes.number(1, "memory")];
        }
        // links that are cut so often would make the members put one of them out
        nodes.nodes[1].proxy.cut_streams();
    }
    settled(&mut nodes, 61);
    for (index, before) in memory.into_iter().enumerate() {
        let grown = nodes.number(index, "memory") - before;
        println!("node {index}: {grown} KiB more after 40 reconnects");
        assert!(grown < 4096, "{grown} KiB");
        nodes.until(index, "metric antiphon_links_streams", 1);
        assert_eq!(nodes.number(index, "groups"), 20);
    }
}

#[test]
fn a_message_over_the_limit_is_dropped_and_the_session_lasts() {
    let mut nodes = Nodes::start(2);
    nodes.ask(1, "join b");
    nodes.until(0, "members b", 1);
    let dropped = "metric antiphon_actors_dropped_total{reason=\"too_large\"}";
    let answer = nodes.ask(0, "echo b 70000 1");
    assert!(answer.starts_with("Timeout 2"), "{answer}");
    assert_eq!(nodes.number(0, dropped), 1);
    // an answer over the limit
    let answer = nodes.ask(0, "echo b 1 70000");
    assert!(answer.starts_with("Timeout 2"), "{answer}");
    assert_eq!(nodes.number(1, dropped), 1);
    let answer = nodes.ask(0, "echo b 60000 60000");
    assert!(answer.starts_with("ok 60000"), "{answer}");
    assert_eq!(nodes.number(0, "metric antiphon_actors_sessions_total"), 1);
}

#[test]
fn actors_of_one_name_on_two_nodes_do_not_disturb_each_other() {
    let mut nodes = Nodes::start(2);
    for index in 0..2 {
        nodes.ask(index, "named chief");
    }
    for index in 0..2 {
        nodes.until(index, "members chief", 2);
    }
    nodes.ask(1, "stop-local chief");
    nodes.until(0, "members chief", 1);
    assert_eq!(nodes.ask(0, "has chief"), "true");
    assert_eq!(nodes.ask(1, "has chief"), "false");
}

#[test]
fn a_message_that_the_other_side_does_not_know_runs_into_its_time_limit() {
    let mut nodes = Nodes::start(2);
    nodes.ask(1, "join b");
    nodes.until(0, "members b", 1);
    let answer = nodes.ask(0, "unknown b");
    assert!(answer.starts_with("Timeout 2"), "{answer}");
    let answer = nodes.ask(0, "echo b 1 1");
    assert!(answer.starts_with("ok 1 "), "{answer}");
}

#[test]
fn a_call_ends_with_its_actor() {
    let mut nodes = Nodes::start(2);
    nodes.ask(1, "join b");
    nodes.until(0, "members b", 1);
    let answer = nodes.ask(0, "end b");
    assert!(answer.contains("has ended before it answered"), "{answer}");
    nodes.until(0, "members b", 0);
    assert_eq!(nodes.ask(0, "end b"), "nobody");
}

#[test]
fn groups_change_while_a_member_leaves() {
    let mut nodes = three();
    nodes.nodes[2].process.order("leave");
    for _ in 0..20 {
        nodes.ask(0, "join changing");
        nodes.ask(1, "join changing");
    }
    for index in [0, 1] {
        nodes.until(index, "members changing", 40);
        nodes.until(index, "members all", 2);
    }
    nodes.ask(0, "stop-local changing");
    for index in [0, 1] {
        nodes.until(index, "members changing", 20);
    }
}
