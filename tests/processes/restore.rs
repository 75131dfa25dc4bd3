//! The journal of a place is replaced by an older backup, or deleted, between two starts: no event
//! that the other place has is lost, and both places end with one history.

use std::path::Path;
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon_tests::files::remove_journal;
use serde_json::{Value, json};

use crate::command::accept_loss;
use crate::support::{Processes, add, get, wait_for};

const SETTINGS: &str = "[sharding]\nloop_interval = \"200ms\"\nloop_interval_max = \"500ms\"\n";

async fn stop(processes: &mut Processes, name: &str) {
    processes.cluster.signal(name, "TERM").await.expect("a process");
    assert!(processes.cluster.ended(name, Duration::from_secs(60)).await.expect("it ends"));
}

/// Adds one as soon as the node takes the command. Returns the value, and the number of earlier
/// adds with an unknown outcome.
async fn add_at_once(client: &mut Client, id: &str, replica: &str) -> (i64, i64) {
    let (mut added, mut unknown) = (None, 0);
    wait_for("the first add", async || {
        let path = format!("/entities/counter/{id}");
        let body = json!({ "add": 1 });
        let Ok((status, body)) = client.post(&path, &[("antiphon-replica", replica)], &body).await
        else {
            return false;
        };
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !status.is_success() {
            unknown += i64::from(value["without_effect"] == json!(false));
            return false;
        }
        added = value.as_i64();
        true
    })
    .await;
    (added.expect("a number"), unknown)
}

async fn same(processes: &Processes, id: &str, expected: i64) {
    for (index, replica) in [(0, "DC-A"), (1, "DC-B")] {
        let mut client = processes.client(index);
        wait_for(&format!("{id} at {replica} is {expected}"), async || {
            get(&mut client, id, replica).await == Some(expected)
        })
        .await;
    }
}

/// Both places write; A is stopped, and starts again with the journal that `replace` leaves.
async fn restored(replace: impl Fn(&Path, &Path)) {
    let mut processes = Processes::start(&["DC-A", "DC-B"], 1, SETTINGS).await;
    let (a, journal) = (processes.name(0), processes.cluster.journal_file("DC-A"));
    let mut at_a = processes.client(0);
    let mut at_b = processes.client(1);
    for id in ["c-1", "c-2"] {
        assert_eq!(add(&mut at_a, id, "DC-A", 1).await, Some(1));
    }
    same(&processes, "c-1", 1).await;
    assert!(add(&mut at_b, "c-1", "DC-B", 10).await.is_some());
    same(&processes, "c-1", 11).await;
    same(&processes, "c-2", 1).await;

    stop(&mut processes, &a).await;
    let backup = processes.folder.path().join("backup.db");
    std::fs::copy(&journal, &backup).expect("a backup");
    processes.cluster.restart(&a).await.expect("a node");
    processes.ready(0).await;
    let mut at_a = processes.client(0);
    for _ in 0..5 {
        assert!(add(&mut at_a, "c-1", "DC-A", 1).await.is_some());
    }
    // an entity that gets no command after the restore
    assert!(add(&mut at_a, "c-2", "DC-A", 5).await.is_some());
    assert!(add(&mut at_b, "c-1", "DC-B", 10).await.is_some());
    same(&processes, "c-1", 26).await;
    same(&processes, "c-2", 6).await;

    stop(&mut processes, &a).await;
    replace(&journal, &backup);
    processes.cluster.begin_restart(&a).await.expect("a node");
    let mut at_a = processes.client(0);
    let (value, unknown) = add_at_once(&mut at_a, "c-1", "DC-A").await;
    assert!((27..=27 + unknown).contains(&value), "{value} does not see all that was taken back");
    processes.ready(0).await;
    same(&processes, "c-1", value).await;
    same(&processes, "c-2", 6).await;
    assert!(add(&mut at_b, "c-1", "DC-B", 10).await.is_some());
    same(&processes, "c-1", value + 10).await;
    let cluster = processes.client(0).json("/cluster", &[]).await.expect("the state");
    let counters = &cluster["continuity"]["types"]["counter"];
    assert!(counters["entities_that_had_lost_events"].as_u64() >= Some(1), "{cluster}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_starts_on_an_older_backup_takes_back_what_the_other_place_has() {
    restored(|journal, backup| {
        remove_journal(journal);
        std::fs::copy(backup, journal).expect("the backup");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_starts_on_a_new_disk_takes_back_what_the_other_place_has() {
    restored(|journal, _| remove_journal(journal)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_cannot_ask_refuses_commands_until_an_operator_accepts_the_loss() {
    let mut processes = Processes::start(&["DC-A", "DC-B"], 1, SETTINGS).await;
    let (a, b) = (processes.name(0), processes.name(1));
    let mut at_a = processes.client(0);
    assert_eq!(add(&mut at_a, "c-1", "DC-A", 1).await, Some(1));
    same(&processes, "c-1", 1).await;
    stop(&mut processes, &a).await;
    stop(&mut processes, &b).await;
    for replica in ["DC-A", "DC-B"] {
        remove_journal(&processes.cluster.journal_file(replica));
    }
    processes.cluster.begin_restart(&a).await.expect("a node");

    let mut at_a = processes.client(0);
    wait_for("the node tells why it is not ready", async || {
        let answer = at_a.get("/health/ready", &[]).await;
        answer.is_ok_and(|(status, body)| {
            let body = String::from_utf8_lossy(&body).into_owned();
            !status.is_success() && body.contains("may have gone back") && body.contains("DC-B")
        })
    })
    .await;
    let path = "/entities/counter/c-1";
    let body = json!({ "add": 1 });
    let answer = at_a.post(path, &[("antiphon-replica", "DC-A")], &body).await;
    let (status, body) = answer.expect("an answer");
    assert_eq!(status.as_u16(), 503);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["without_effect"], json!(true), "{body}");

    let accepted = accept_loss(&processes.cluster.config(&a), "DC-B").await;
    let said = String::from_utf8_lossy(&accepted.stdout).into_owned();
    assert!(accepted.status.success(), "{accepted:?}");
    assert!(said.contains("goes on without the word of `DC-B`"), "{said}");

    assert!(add_at_once(&mut at_a, "c-1", "DC-A").await.0 >= 1);
    processes.ready(0).await;
    let cluster = at_a.json("/cluster", &[]).await.expect("the state");
    assert!(cluster["continuity"]["accepted"]["DC-B"]["at_micros"].is_u64(), "{cluster}");
}
