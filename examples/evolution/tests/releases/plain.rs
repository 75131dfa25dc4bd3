//! Plain accounts become replicated ones by the settings of `docs/guide/migrate-a-plain-entity.md`:
//! with `kill -9` in the middle, node after node, and again.

use std::process::Output;

use antiphon::app::cluster::LocalJournals;

use crate::bank::{ACCOUNTS, Bank, cassandra};

/// The plain accounts of the place DC-A.
const PLAIN: &str = "[[replicas]]\nname = \"\"\nplace = \"DC-A\"\n";
/// The same, and a replica at DC-B.
const REPLICATED: &str =
    "[[replicas]]\nname = \"\"\nplace = \"DC-A\"\n[[replicas]]\nname = \"DC-B\"\n";
const EXTRA: &str = "[sharding]\nloop_interval = \"200ms\"\nloop_interval_max = \"500ms\"\n[sharding.entity]\nsnapshot_every = 5\n";

async fn migration(bank: &Bank, index: usize) -> Output {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_accounts"))
        .args(["entity", "migration", "account", "--config"])
        .arg(bank.cluster.config(&bank.name(index)))
        .output();
    output.await.expect("the command runs")
}

fn said(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// Nodes 0 and 2 are at DC-A, 1 and 3 at DC-B.
async fn migrates(journals: LocalJournals) {
    let extra = format!("{PLAIN}{EXTRA}");
    let mut bank = Bank::start(journals, 2, &extra).await;
    bank.replicas = ["", "DC-B"];
    for index in [0, 2, 1, 0] {
        // the nodes of DC-B are proxies
        bank.pay(index, "").await;
    }
    assert!(bank.stored("DC-B").await.is_empty());
    let output = migration(&bank, 1).await;
    assert!(said(&output).contains("expected the replica \"\" at the place \"DC-B\""));

    // node after node, killed in the middle of transfers at DC-A; the others go on
    for index in [0, 1, 2, 3] {
        bank.kill(index).await;
        bank.set(index, PLAIN, REPLICATED);
        bank.pay(if index == 0 { 2 } else { 0 }, "").await;
        bank.restart(index).await;
        bank.pay(0, "").await;
    }
    bank.pay(1, "DC-B").await;
    bank.agree().await;
    let [a, b] = [bank.stored("DC-A").await, bank.stored("DC-B").await];
    for account in ACCOUNTS {
        let (plain, other) = (format!("account|{account}"), format!("account|{account}|DC-B"));
        assert_eq!(a.get(&plain), b.get(&other), "the whole history, once");
    }
    let output = migration(&bank, 0).await;
    let text = said(&output);
    assert!(output.status.success() && text.contains("3 plain entities"), "{text}");
    assert!(text.contains("replica `DC-B` has all events of 3 of them"), "{text}");

    // a node that was left with the settings of before is refused, and writes nothing
    bank.kill(2).await;
    bank.set(2, REPLICATED, PLAIN);
    let name = bank.name(2);
    let refused = bank.cluster.restart(&name).await.expect_err("it does not start");
    assert!(refused.to_string().contains("was a plain entity"), "{refused}");
    bank.set(2, PLAIN, REPLICATED);
    bank.restart(2).await;
    // and both places write
    for (index, replica) in [(0, ""), (1, "DC-B"), (2, ""), (3, "DC-B")] {
        bank.pay(index, replica).await;
    }
    bank.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_accounts_become_replicated_ones_by_settings_on_sqlite() {
    migrates(LocalJournals::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_accounts_become_replicated_ones_by_settings_on_cassandra() {
    if let Some(journals) = cassandra() {
        migrates(journals).await;
    }
}
