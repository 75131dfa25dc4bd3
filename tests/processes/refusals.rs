//! Wrong input: each has a clear error and no effect on others.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{complaint, run};
use crate::support::{Processes, add, contact_point, get, wait_for};

/// Runs a node that must not start; returns its error output.
async fn refused(config: &str) -> String {
    let output = run(&["node"], config, &[]).await;
    assert!(!output.status.success());
    complaint(&output)
}

fn config(journal: &std::path::Path, name: &str, rest: &str) -> String {
    format!(
        "journal = {journal:?}\nbind = '127.0.0.1:0'\nhttp_bind = '127.0.0.1:0'\nlog = 'warn'\n[node]\nname = {name:?}\nplace = 'DC-A'\n{rest}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_configurations_are_refused_by_name() {
    let folder = TempDir::new().expect("a temporary folder");
    let journal = folder.path().join("a.db");
    let message = refused(&config(&journal, "n", "nmae = 'x'")).await;
    assert!(message.contains("nmae") && message.contains("expected one of"), "{message}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let text = config(&journal, "n", "")
        .replace("bind = '127.0.0.1:0'\nhttp", &format!("bind = '{address}'\nhttp"));
    let message = refused(&text).await;
    assert!(message.contains("`bind`: cannot listen on"), "{message}");

    let missing = folder.path().join("no/such/folder/a.db");
    let message = refused(&config(&missing, "n", "")).await;
    assert!(message.contains("no/such/folder/a.db"), "{message}");

    std::fs::write(
        folder.path().join("text.db"),
        "this is no database, it is a text of some length",
    )
    .expect("written");
    let message = refused(&config(&folder.path().join("text.db"), "n", "")).await;
    assert!(message.contains("text.db"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_in_use_and_another_clusters_store_are_refused_and_the_node_goes_on() {
    let processes = Processes::start(&["DC-A"], 1, "").await;
    let journal = processes.cluster.journal_file("DC-A");
    let message = refused(&config(&journal, "dc-a-1", "")).await;
    assert!(message.contains("is used by `dc-a-1@"), "{message}");
    let message = refused(&config(&journal, "other", "shard_count = 7")).await;
    assert!(message.contains("`shard_count`") && message.contains("actual 64"), "{message}");
    let message = refused(&config(&journal, "other", "cluster_name = 'else'")).await;
    assert!(message.contains("`cluster_name`"), "{message}");

    let mut client = processes.client(0);
    assert_eq!(add(&mut client, "c-1", "DC-A", 1).await, Some(1));
}

/// The node's error names the command that creates its tables, and `schema apply` asks for the
/// number of copies before it creates a keyspace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cassandra_without_tables_is_refused_with_the_command_to_run() {
    let server = contact_point();
    let config = |server: &str, keyspace: &str| {
        format!(
            "journal = {{ kind = 'cassandra', contact_points = ['{server}'], keyspace = '{keyspace}' }}\nbind = '127.0.0.1:0'\nhttp_bind = '127.0.0.1:0'\n[node]\nname = 'n'\nplace = 'DC-A'\n"
        )
    };
    let missing = config(&server, "antiphon_is_not_there");
    let message = refused(&missing).await;
    assert!(message.contains("`antiphon_is_not_there`"), "{message}");
    assert!(message.contains("antiphon schema apply --config"), "{message}");

    let nobody = format!("start_timeout = '1s'\n{}", config("127.0.0.1:1", "antiphon"));
    let message = refused(&nobody).await;
    assert!(message.contains("contact_points") && message.contains("127.0.0.1:1"), "{message}");
    assert!(message.contains("`start_timeout`"), "{message}");

    let applied = run(&["schema", "apply"], &missing, &[]).await;
    let message = complaint(&applied);
    assert!(!applied.status.success() && message.contains("`replication`"), "{message}");
    let shown = run(&["schema", "show"], &missing, &[]).await;
    let statements = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success() && statements.contains("CREATE TABLE"), "{statements}");
    assert!(!statements.contains("SimpleStrategy"), "never unless it is asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_are_answered_with_what_was_expected() {
    let processes = Processes::start(&["DC-A"], 1, "").await;
    let mut client = processes.client(0);
    let long = format!("/entities/counter/{}", "x".repeat(2000));
    for (path, header, body, status, expected) in [
        ("/entities/nothing/x", None, json!({}), 404, "counter"),
        ("/entities/counter/c-1", None, json!({ "ad": 1 }), 400, "unknown variant"),
        ("/entities/counter/c-1", None, json!({ "add": "x" }), 400, "invalid type"),
        ("/entities/counter/a%7Cb", None, json!({ "add": 1 }), 400, "entity id"),
        (long.as_str(), None, json!({ "add": 1 }), 400, "entity id"),
        (
            "/entities/counter/c-1",
            Some(("antiphon-replica", "DC-X")),
            json!({ "add": 1 }),
            400,
            "DC-A",
        ),
        (
            "/entities/counter/c-1",
            Some(("antiphon-policy", "best")),
            json!({ "add": 1 }),
            400,
            "nearest",
        ),
        ("/entities", None, json!({}), 404, "/entities/{type}/{id}"),
    ] {
        let headers: Vec<(&str, &str)> = header.into_iter().collect();
        let (actual, body) = client.post(path, &headers, &body).await.expect("an answer");
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(actual.as_u16(), status, "{path}: {text}");
        assert!(text.contains(expected), "{path}: {text}");
    }
    assert_eq!(get(&mut client, "c-1", "DC-A").await, Some(0), "nothing took effect");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_loses_nothing() {
    let mut processes = Processes::start(&["DC-A"], 1, "[sqlite]\nfile_pages_max = 200\n").await;
    let mut client = processes.client(0);
    let title = "x".repeat(20_000);
    let mut stored = 0;
    let refused = loop {
        let body = json!({ "add": format!("{stored}{title}") });
        let answer = client.post("/entities/watch-list/w-1", &[], &body).await.expect("an answer");
        if !answer.0.is_success() {
            break String::from_utf8_lossy(&answer.1).into_owned();
        }
        stored += 1;
        assert!(stored < 10_000, "the limit is never reached");
    };
    assert!(refused.contains("full"), "{refused}");
    // the node lives; with room again, every acknowledged event is there
    let name = processes.name(0);
    processes.cluster.kill(&name).await.expect("a node");
    let path = processes.folder.path().join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).expect("the configuration");
    std::fs::write(&path, text.replace("file_pages_max = 200", "")).expect("written");
    processes.cluster.restart(&name).await.expect("it comes back");
    processes.ready(0).await;
    let mut client = processes.client(0);
    wait_for("the titles are there", async || {
        let titles = client.json("/entities/watch-list/w-1", &[]).await.unwrap_or(Value::Null);
        titles.as_array().is_some_and(|titles| titles.len() >= stored)
    })
    .await;
}
