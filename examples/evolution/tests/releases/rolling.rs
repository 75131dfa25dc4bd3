//! Updates from release 1 to release 2, in the right order and in the wrong one, and back.

use antiphon::app::cluster::LocalJournals;

use crate::bank::{ACCOUNTS, Bank, PLACES, cassandra, pay_once};

const EXTRA: &str = "[account]\nrelease = 1\nwrites = 1\ncodec = \"bincode\"\n[sharding]\nloop_interval = \"200ms\"\nloop_interval_max = \"500ms\"\nheld_retell = \"1s\"\n[sharding.entity]\nsnapshot_every = 5\n";

/// The list of entities that hold events back, in the state of the cluster, names one.
const HELD: &str = "\"account|a-";

/// Kills a node in the middle of transfers, and starts it with other settings.
async fn update(bank: &mut Bank, index: usize, settings: &[(&str, &str)]) {
    bank.kill_while_paying(index, 1 - index).await;
    for (from, to) in settings {
        bank.set(index, from, to);
    }
    bank.restart(index).await;
    for at in [index, 1 - index] {
        bank.pay(at, PLACES[at]).await;
    }
}

async fn same_journals(bank: &Bank) {
    let [a, b] = [bank.stored(PLACES[0]).await, bank.stored(PLACES[1]).await];
    assert_eq!(a.len(), ACCOUNTS.len());
    for account in ACCOUNTS {
        let of = |place: &str| format!("account|{account}|{place}");
        assert_eq!(a.get(&of(PLACES[0])), b.get(&of(PLACES[1])), "{account}");
    }
}

/// First every node reads what release 2 will write, then the nodes write it. Each step chooses
/// another codec, too.
async fn right_order(journals: LocalJournals) {
    let mut bank = Bank::start(journals, 1, EXTRA).await;
    for index in [0, 1, 0, 1] {
        bank.pay(index, PLACES[index]).await;
    }
    let reads = [("release = 1", "release = 2"), ("bincode", "cbor")];
    for index in [0, 1] {
        update(&mut bank, index, &reads).await;
    }
    bank.agree().await;
    let writes = [("writes = 1", "writes = 2"), ("cbor", "json")];
    for index in [1, 0] {
        update(&mut bank, index, &writes).await;
        // nothing was ever held back
        for at in [0, 1] {
            bank.shows(at, "/cluster", HELD, false).await;
        }
    }
    bank.agree().await;
    same_journals(&bank).await;
}

/// Release 2 writes its own events while the other place has release 1: they are held back there,
/// that is told, and they are taken after the update. A release that was taken back is refused its
/// commands, and loses nothing.
async fn wrong_order(journals: LocalJournals) {
    let mut bank = Bank::start(journals, 1, EXTRA).await;
    for index in [0, 1] {
        bank.pay(index, PLACES[index]).await;
    }
    bank.agree().await;
    let all = [("release = 1", "release = 2"), ("writes = 1", "writes = 2")];
    bank.kill(0).await;
    all.iter().for_each(|(from, to)| bank.set(0, from, to));
    bank.restart(0).await;
    bank.pay(0, PLACES[0]).await;
    // told, with the reason, and the place goes on with its own commands
    bank.shows(1, "/cluster", HELD, true).await;
    for index in [1, 1, 0] {
        bank.pay(index, PLACES[index]).await;
    }
    bank.kill_while_paying(1, 0).await;
    all.iter().for_each(|(from, to)| bank.set(1, from, to));
    bank.restart(1).await;
    bank.agree().await;
    bank.shows(1, "/cluster", HELD, false).await;

    // back to release 1, whose journal has events of release 2 now
    bank.kill(0).await;
    all.iter().for_each(|(from, to)| bank.set(0, to, from));
    bank.restart(0).await;
    let told = pay_once(&mut bank.client(0), ACCOUNTS[0], PLACES[0]).await.expect_err("no account");
    assert!(told.has_no_effect, "{}", told.what);
    assert!(told.what.contains("event") && told.what.contains(ACCOUNTS[0]), "{}", told.what);
    bank.kill(0).await;
    all.iter().for_each(|(from, to)| bank.set(0, from, to));
    bank.restart(0).await;
    for index in [0, 1] {
        bank.pay(index, PLACES[index]).await;
    }
    bank.agree().await;
    same_journals(&bank).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_in_the_right_order_loses_nothing_on_sqlite() {
    right_order(LocalJournals::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_in_the_right_order_loses_nothing_on_cassandra() {
    if let Some(journals) = cassandra() {
        right_order(journals).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_later_release_are_held_back_told_and_resumed_on_sqlite() {
    wrong_order(LocalJournals::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_later_release_are_held_back_told_and_resumed_on_cassandra() {
    if let Some(journals) = cassandra() {
        wrong_order(journals).await;
    }
}
