//! Journals at paths that do not persist, journals of other owners, and journals that disappear
//! under a node.

use std::process::Output;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{complaint, run};
use crate::support::{Processes, add, get, wait_for};

/// The error of a node that must not start; `antiphon check` must report the same error.
async fn refused(config: &str, variables: &[(&str, &str)]) -> String {
    let said = |output: &Output| {
        let said = complaint(output);
        // each call has the configuration in another folder
        said.split_once("node.toml: ").map_or(said.clone(), |(_, rest)| rest.to_owned())
    };
    let node = run(&["node"], config, variables).await;
    let check = run(&["check"], config, variables).await;
    assert!(!node.status.success() && !check.status.success(), "{node:?}\n{check:?}");
    assert_eq!(said(&node), said(&check), "a check says what a node says");
    said(&node)
}

fn config(journal: &str, rest: &str) -> String {
    format!(
        "journal = {journal:?}\nbind = '127.0.0.1:0'\nhttp_bind = '127.0.0.1:0'\n{rest}\n[node]\nname = 'n'\nplace = 'DC-X'\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_start_on_a_journal_that_keeps_nothing() {
    for journal in ["", " ", ":memory:", "file::memory:", "/dev/null", "/proc", "no/such/a.db"] {
        let message = refused(&config(journal, ""), &[]).await;
        assert!(message.contains("`journal`") && message.contains("expected"), "{message}");
    }
    let message = refused(&config("a.db", ""), &[("ANTIPHON_JOURNAL", "")]).await;
    assert!(message.contains("`journal`"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_start_makes_no_file_and_changes_none() {
    let folder = TempDir::new().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let journal = at("a.db");
    let valid = config(&journal, "");
    for (text, expected) in [
        (format!("{valid}shard_count = 2000"), "`shard_count`"),
        (config(&journal, "log = 'inof'"), "`log`"),
        (config(&journal, &format!("[[peers]]\nplace = 'B'\njournal = {journal:?}")), "`peers`"),
        (format!("{valid}[sqlite]\nbusy_timeout = '5000000h'"), "`busy_timeout`"),
        (format!("{valid}[links]\ncookie = 73100"), "cookie"),
    ] {
        let message = refused(&text, &[]).await;
        assert!(message.contains(expected) && !message.contains("73100"), "{message}");
    }
    assert!(!folder.path().join("a.db").exists(), "nothing is written before all is checked");

    let theirs = at("theirs.db");
    let database = rusqlite_file(&theirs).await;
    let message = refused(&config(&theirs, ""), &[]).await;
    assert!(message.contains("another program"), "{message}");
    assert!(std::fs::read(&theirs).expect("a file") == database, "not a byte of it is changed");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

/// An empty database with the mark of another program (`application_id` of the header).
async fn rusqlite_file(path: &str) -> Vec<u8> {
    let processes = Processes::start(&["DC-A"], 1, "").await;
    let journal = processes.cluster.journal_file("DC-A");
    let mut bytes = std::fs::read(journal).expect("a journal");
    bytes[68..72].copy_from_slice(&7_u32.to_be_bytes());
    std::fs::write(path, &bytes).expect("written");
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_journal_is_deleted_or_moved_acknowledges_nothing_and_ends() {
    for deed in ["deleted", "moved", "replaced"] {
        let mut processes = Processes::start(&["DC-A"], 1, "").await;
        // not even one that may begin again takes another file for its journal
        let name = processes.name(0);
        processes.restart_rejoining(&name).await;
        processes.ready(0).await;
        let mut client = processes.client(0);
        assert_eq!(add(&mut client, "c-1", "DC-A", 1).await, Some(1));
        let journal = processes.cluster.journal_file("DC-A");
        let other = journal.with_extension("other");
        match deed {
            "deleted" => std::fs::remove_file(&journal).expect("removed"),
            "moved" => std::fs::rename(&journal, &other).expect("moved"),
            _ => {
                std::fs::copy(&journal, &other).expect("copied");
                std::fs::rename(&other, &journal).expect("moved");
            }
        }
        let began = SystemClock.now();
        assert_eq!(add(&mut client, "c-1", "DC-A", 1).await, None, "{deed}: not acknowledged");
        let ended_well = processes.cluster.ended(&name, Duration::from_secs(10)).await;
        assert!(!ended_well.expect("it ends by itself"), "{deed}");
        let took = SystemClock.now() - began;
        // a command that arrived meanwhile is not answered before `ask_timeout`
        assert!(took < Duration::from_secs(9), "{deed}: noticed and ended after {took:?}");
        let log = std::fs::read_to_string(processes.cluster.log(&name)).expect("a log");
        assert!(log.contains("this node is out") && log.contains(".db"), "{deed}: {log}");
        assert!(!log.contains("begins again"), "{deed}: {log}");
        if deed == "deleted" {
            // acknowledged events may be in the log that is left
            processes.cluster.restart(&name).await.expect_err("it does not begin anew silently");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_from_the_journal_of_another_cluster_or_place() {
    let folder = TempDir::new().expect("a temporary folder");
    let late = folder.path().join("late.db");
    let mut processes = Processes::start(&["DC-A", "DC-B"], 1, "").await;
    let mut client = processes.client(0);
    assert_eq!(add(&mut client, "c-1", "DC-A", 7).await, Some(7));
    let a = processes.cluster.journal_file("DC-A").display().to_string();

    // a wrong journal at the start of the node
    let own = folder.path().join("own.db").display().to_string();
    let peer = |place: &str, journal: &str| {
        config(&own, &format!("[[peers]]\nplace = {place:?}\njournal = {journal:?}"))
    };
    for (text, setting) in [
        (peer("DC-C", &a), "`place`"),
        (format!("{}cluster_name = 'else'", peer("DC-A", &a)), "`cluster_name`"),
        (format!("{}shard_count = 32", peer("DC-A", &a)), "`shard_count`"),
    ] {
        let output = run(&["node"], &text, &[]).await;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(setting), "{message}");
    }

    // a wrong journal that appears later
    let name = processes.name(1);
    processes.cluster.kill(&name).await.expect("a node");
    let path = processes.folder.path().join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).expect("the configuration");
    let late_text = late.display().to_string();
    std::fs::write(&path, text.replace(&a, &late_text)).expect("written");
    processes.cluster.restart(&name).await.expect("it starts without its peer");
    processes.ready(1).await;
    // the events in the log come first: a node that finds the file must find the log beside it
    let (b, unseen) = (processes.cluster.journal_file("DC-B"), folder.path().join("unseen.db"));
    std::fs::copy(&b, &unseen).expect("copied");
    std::fs::copy(b.with_extension("db-wal"), late.with_extension("db-wal")).expect("copied");
    std::fs::rename(&unseen, &late).expect("moved");
    let mut client = processes.client(1);
    wait_for("it is said", async || {
        let health = client.json("/health/ready", &[]).await.unwrap_or(Value::Null);
        health["warnings"].to_string().contains("`place`")
    })
    .await;
    let (_, metrics) = client.get("/metrics", &[]).await.expect("metrics");
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    assert!(metrics.contains("antiphon_peer_journal_refused{place=\"DC-A\"} 1"), "{metrics}");
    // a place that cannot ask its peer for its own events takes no command either
    assert_eq!(get(&mut client, "c-1", "DC-B").await, None);
    let log = std::fs::read_to_string(processes.cluster.log(&name)).expect("a log");
    assert!(log.contains("nothing is taken from it"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_may_have_a_name_that_no_header_can_carry() {
    let processes = Processes::start(&["Zürich", "São-Paulo-100%"], 1, "").await;
    for (index, place) in ["Zürich", "São-Paulo-100%"].into_iter().enumerate() {
        let mut client = processes.client(index);
        assert_eq!(add(&mut client, "c-1", place, 1).await.map(|value| value > 0), Some(true));
    }
    for index in 0..2 {
        let mut client = processes.client(index);
        wait_for("both have both", async || get(&mut client, "c-1", "Zürich").await == Some(2))
            .await;
    }
}
