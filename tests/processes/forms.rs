//! Several replicas in one place, over one journal: by the roles of nodes, and on all nodes.

use std::path::PathBuf;

use antiphon::app::cluster::LocalJournals;
use serde_json::Value;

use crate::kill::on_each_journal;
use crate::support::{Processes, add, get, wait_for};

/// Two replicas that share the journal of `DC-A`; the text begins in the table `[node]`.
const BY_ROLE: &str = "roles = [\"one\", \"two\"]\n[[replicas]]\nname = \"A1\"\nplace = \"DC-A\"\nrole = \"one\"\n[[replicas]]\nname = \"A2\"\nplace = \"DC-A\"\nrole = \"two\"\n";
const ON_ALL_NODES: &str = "[[replicas]]\nname = \"A1\"\nplace = \"DC-A\"\n[[replicas]]\nname = \"A2\"\nplace = \"DC-A\"\n[sharding]\nevent_publishing = false\n";

on_each_journal! {
    replicas_of_two_roles_share_a_journal_and_a_lost_role_is_named_and_comes_back,
    replicas_on_all_nodes_of_a_place_get_each_others_events_through_its_journal,
}

/// Changes the configuration of a node, which counts from its next start.
fn change(processes: &Processes, index: usize, old: &str, new: &str) {
    let path: PathBuf = processes.cluster.config(&processes.name(index));
    let config = std::fs::read_to_string(&path).expect("its configuration");
    assert!(config.contains(old), "{config}");
    std::fs::write(&path, config.replacen(old, new, 1)).expect("a writable folder");
}

async fn restart(processes: &mut Processes, index: usize) {
    let name = processes.name(index);
    processes.cluster.kill(&name).await.expect("a node to kill");
    processes.cluster.restart(&name).await.expect("a node that comes back");
    processes.ready(index).await;
}

/// The replicas whose counters a node hosts, as `/cluster` says.
async fn hosted(processes: &Processes, index: usize) -> Vec<String> {
    let id = processes.cluster.nodes()[index].id.clone();
    let cluster = processes.client(index).json("/cluster", &[]).await.expect("an answer");
    let shards = cluster["sharding"]["counter"]["shards"].as_array().cloned().unwrap_or_default();
    let here = shards.iter().filter(|shard| shard["home"] == id.as_str());
    let replica = |shard: &Value| shard["shard"].as_str().unwrap_or_default()[..2].to_owned();
    let mut replicas: Vec<String> = here.map(replica).collect();
    replicas.dedup();
    replicas
}

async fn replicas_of_two_roles_share_a_journal_and_a_lost_role_is_named_and_comes_back(
    journals: LocalJournals,
) {
    let mut processes = Processes::start_on(journals, &["DC-A"], 2, BY_ROLE).await;
    let both = "roles = [\"one\", \"two\"]";
    change(&processes, 0, both, "roles = [\"one\"]");
    change(&processes, 1, both, "roles = [\"two\"]");
    restart(&mut processes, 0).await;
    restart(&mut processes, 1).await;
    wait_for("each is on the node of its role", async || {
        hosted(&processes, 0).await == ["A1"] && hosted(&processes, 1).await == ["A2"]
    })
    .await;
    let (mut one, mut two) = (processes.client(0), processes.client(1));
    assert_eq!(add(&mut one, "c-1", "A1", 5).await, Some(5));
    wait_for("it is at the other one", async || get(&mut two, "c-1", "A2").await == Some(5)).await;
    assert_eq!(add(&mut one, "c-1", "A2", 1).await, Some(6), "through the node of another role");

    let name = processes.name(1);
    processes.cluster.kill(&name).await.expect("a node to kill");
    wait_for("the lost role is named", async || {
        let path = "/entities/counter/c-1";
        let answer = one.get(path, &[("antiphon-replica", "A2")]).await;
        let body = answer.map(|(_, body)| String::from_utf8_lossy(&body).into_owned());
        body.is_ok_and(|body| body.contains("role `two`") && body.contains("place `DC-A`"))
    })
    .await;
    wait_for("the node of the other role is ready, and warns", async || {
        let (status, body) = one.get("/health/ready", &[]).await.expect("an answer");
        status.is_success() && String::from_utf8_lossy(&body).contains("role `two`")
    })
    .await;
    let cluster = one.json("/cluster", &[]).await.expect("an answer");
    let lost = cluster["sharding"]["counter"]["without_role"][0].as_str().unwrap_or_default();
    assert!(lost.contains("role `two`"), "{cluster}");
    assert_eq!(hosted(&processes, 0).await, ["A1"]);
    assert_eq!(add(&mut one, "c-1", "A1", 1).await, Some(7), "the other role works");

    processes.cluster.restart(&name).await.expect("a node that comes back");
    processes.ready(1).await;
    let mut two = processes.client(1);
    wait_for("it has everything", async || get(&mut two, "c-1", "A2").await == Some(7)).await;
    assert_eq!(add(&mut two, "c-1", "A2", 1).await, Some(8));
    wait_for("both have it", async || get(&mut one, "c-1", "A1").await == Some(8)).await;
}

async fn replicas_on_all_nodes_of_a_place_get_each_others_events_through_its_journal(
    journals: LocalJournals,
) {
    let mut processes = Processes::start_on(journals, &["DC-A"], 2, ON_ALL_NODES).await;
    let mut first = processes.client(0);
    assert_eq!(add(&mut first, "c-1", "A1", 5).await, Some(5));
    wait_for("it is at the other replica", async || get(&mut first, "c-1", "A2").await == Some(5))
        .await;
    assert_eq!(add(&mut first, "c-1", "A2", 1).await, Some(6));
    wait_for("and back", async || get(&mut first, "c-1", "A1").await == Some(6)).await;

    // the second node becomes one that hosts no shards
    change(&processes, 1, "[node]\n", "[node]\nproxy_only = true\n");
    restart(&mut processes, 1).await;
    assert!(hosted(&processes, 1).await.is_empty());
    let mut proxy = processes.client(1);
    assert_eq!(add(&mut proxy, "c-1", "A1", 1).await, Some(7), "through the proxy");
    let name = processes.name(1);
    processes.cluster.signal(&name, "TERM").await.expect("a node to end");
    let ended = processes.cluster.ended(&name, crate::support::PATIENCE).await;
    assert!(ended.expect("it ends"), "a proxy has nothing to drain");
}
