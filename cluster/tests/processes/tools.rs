//! The receptionist, topics, routers and singletons over three processes, through kills and cuts.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};

use crate::support::{Nodes, PATIENCE};

/// Three nodes with a registered actor each.
fn three() -> Nodes {
    let mut nodes = Nodes::start(3);
    for index in 0..3 {
        assert_eq!(nodes.ask(index, "tool register services"), "registered");
    }
    for index in 0..3 {
        nodes.until(index, "tool find services", 3);
    }
    nodes
}

#[test]
fn registered_actors_of_a_killed_node_are_forgotten_and_those_behind_a_cut_come_back() {
    let mut nodes = three();
    let error = nodes.ask(0, "tool find-other services");
    assert!(error.contains("use another key for each message type"), "{error}");
    nodes.nodes[2].proxy.cut();
    for index in 0..3 {
        nodes.until(index, "sessions", 2);
        nodes.until(index, "tool find services", 3);
    }
    nodes.nodes[1].process.signal("-KILL");
    let took = nodes.until(0, "tool find services", 2);
    println!("the actors of a killed node are forgotten after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn all_nodes_agree_who_has_a_key_and_only_the_keys_of_a_killed_node_move() {
    let mut nodes = three();
    let before = nodes.ask(0, "tool owners services 100");
    assert_eq!(before.len(), 100, "{before}");
    for index in [1, 2] {
        assert_eq!(nodes.ask(index, "tool owners services 100"), before);
    }
    nodes.nodes[2].process.signal("-KILL");
    nodes.until(0, "tool find services", 2);
    let after = nodes.ask(0, "tool owners services 100");
    let pairs = before.chars().zip(after.chars());
    let moved: Vec<(char, char)> = pairs.filter(|(before, after)| before != after).collect();
    assert!(moved.iter().all(|(before, after)| *before == 'c' && *after != 'c'), "{moved:?}");
    println!("{} of 100 keys moved when one of three nodes was killed", moved.len());
    assert_eq!(moved.len(), before.matches('c').count());
}

#[test]
fn every_node_hears_a_message_of_a_topic_once_and_in_order() {
    let mut nodes = Nodes::start(3);
    for index in 0..3 {
        nodes.ask(index, "tool subscribe news");
    }
    let until = SystemClock.now() + PATIENCE;
    while nodes.ask(0, "tool publish news 0") != "1 2" {
        assert!(SystemClock.now() < until, "the brokers of the others are not known");
    }
    for index in 0..3 {
        nodes.ask(index, "tool heard news");
    }
    for number in 1..=20 {
        assert_eq!(nodes.ask(0, &format!("tool publish news {number}")), "1 2");
    }
    let all: Vec<String> = (1..=20).map(|number: u64| number.to_string()).collect();
    for index in 0..3 {
        assert_eq!(nodes.ask(index, "tool heard news"), all.join(","), "node {index}");
    }
    nodes.nodes[1].process.signal("-KILL");
    let until = SystemClock.now() + PATIENCE;
    while nodes.ask(0, "tool publish news 21") != "1 1" {
        assert!(SystemClock.now() < until, "the killed node is a receiver still");
    }
}

#[test]
fn a_singleton_moves_at_a_goodbye_and_at_a_kill_and_its_token_grows() {
    let mut nodes = Nodes::start(3);
    for index in 0..3 {
        nodes.ask(index, "tool singleton one");
    }
    let mut alive = vec![0, 1, 2];
    let (mut token, mut ways) = (0, ["leave", "-KILL"].into_iter());
    loop {
        let until = SystemClock.now() + PATIENCE;
        let began = SystemClock.now();
        let (node, next) = loop {
            let answer = nodes.ask(alive[0], "tool where one");
            let mut words = answer.split(' ');
            let (node, next) = (words.next().unwrap_or_default(), words.next());
            if let Some(next) = next.and_then(|next| next.parse::<u64>().ok())
                && next > token
            {
                break (node.to_owned(), next);
            }
            assert!(SystemClock.now() < until, "{answer}");
        };
        println!("the singleton answers at {node} after {:?}", SystemClock.now() - began);
        for index in &alive {
            assert_eq!(nodes.ask(*index, "tool where one"), format!("{node} {next}"));
        }
        token = next;
        let Some(way) = ways.next() else { return };
        let holder = usize::from(node.as_bytes()[0] - b'a');
        match way {
            "leave" => assert_eq!(nodes.ask(holder, "leave"), "Ok(())"),
            signal => nodes.nodes[holder].process.signal(signal),
        }
        alive.retain(|index| *index != holder);
    }
}
