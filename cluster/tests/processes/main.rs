//! Plain actors on nodes in processes of their own: ractor's registry and groups are those of a
//! process.

mod faults;
mod figures;
mod node;
mod support;
mod tool_orders;
mod tools;

use support::Nodes;

/// No test by itself: the program of the nodes that the other tests start.
#[test]
fn a_process_of_another_test() {
    let variable = |name: &str| std::env::var(name).ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Some(name) = variable("ANTIPHON_TEST_NODE") {
        let journal = variable("ANTIPHON_TEST_JOURNAL").unwrap();
        let address = variable("ANTIPHON_TEST_ADDRESS").unwrap();
        runtime.block_on(node::run(&name, &journal, &address));
    } else if let Some(address) = variable("ANTIPHON_TEST_ALONE") {
        runtime.block_on(node::alone(Some(address).filter(|address| !address.is_empty())));
    }
}

#[test]
fn an_actor_is_called_from_another_node_and_found_in_its_group() {
    let mut nodes = Nodes::start(2);
    assert_eq!(nodes.ask(0, "echo workers 1 1"), "nobody");
    nodes.ask(1, "join workers");
    nodes.until(0, "members workers", 1);
    let answer = nodes.ask(0, "echo workers 10 1000");
    assert!(answer.starts_with("ok 1000 "), "{answer}");
    nodes.ask(0, "join workers");
    nodes.until(1, "members workers", 2);
    let answer = nodes.ask(1, "echo workers 10 7");
    assert!(answer.starts_with("ok 7 "), "{answer}");
    // an actor that ends leaves the group everywhere
    nodes.ask(1, "stop-local workers");
    nodes.until(0, "members workers", 1);
}
