//! A cluster of accounts, and clients that count what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::{LocalCluster, LocalClusterSettings, LocalJournals};
use antiphon::base::time::{Clock, SystemClock};
use antiphon::persistence::event::{EventMeta, SequenceNr};
use antiphon_evolution::Summary;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const PLACES: [&str; 2] = ["DC-A", "DC-B"];
pub(crate) const ACCOUNTS: [&str; 3] = ["a-0", "a-1", "a-2"];

/// The amount and the fee of each transfer.
const CENTS: i64 = 10;
const FEE: i64 = 1;

pub(crate) struct Bank {
    pub(crate) cluster: LocalCluster,
    /// By account, the transfers that were acknowledged, and those with an unknown outcome.
    told: BTreeMap<&'static str, (u64, u64)>,
    /// The replicas by place.
    pub(crate) replicas: [&'static str; 2],
    _folder: TempDir,
}

/// The Cassandra server of the tests, with places of its own; `None` when there is none.
pub(crate) fn cassandra() -> Option<LocalJournals> {
    let server = std::env::var("TEST_CASSANDRA").ok().filter(|_| cfg!(feature = "cassandra"));
    let Some(server) = server else {
        eprintln!("left out: no feature `cassandra`, or `TEST_CASSANDRA` names no server");
        return None;
    };
    let options = [
        ("contact_points", json!([server])),
        ("keyspace", json!("antiphon_evolution")),
        ("replication", json!(1)),
    ];
    Some(LocalJournals {
        kind: "cassandra".to_owned(),
        options: options.map(|(key, value)| (key.to_owned(), value)).into_iter().collect(),
        run: SystemClock.wall().as_micros().to_string(),
        ..LocalJournals::default()
    })
}

impl Bank {
    pub(crate) async fn start(journals: LocalJournals, nodes: usize, extra: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let cluster = LocalCluster::start(LocalClusterSettings {
            data_dir: folder.path().to_path_buf(),
            replicas: PLACES.map(str::to_owned).to_vec(),
            nodes_per_replica: nodes,
            journals,
            tls: false,
            extra: extra.to_owned(),
            binary: env!("CARGO_BIN_EXE_accounts").into(),
            start_timeout: PATIENCE,
        });
        let cluster = cluster.await.expect("two places");
        Self { cluster, told: BTreeMap::new(), replicas: PLACES, _folder: folder }
    }

    pub(crate) fn name(&self, index: usize) -> String {
        self.cluster.nodes()[index].name.clone()
    }

    pub(crate) fn client(&self, index: usize) -> Client {
        Client::new(self.cluster.nodes()[index].http.clone()).with_timeout(Duration::from_secs(8))
    }

    /// Changes a line of the configuration of a node, from its next start on.
    pub(crate) fn set(&self, index: usize, from: &str, to: &str) {
        let path = self.cluster.config(&self.name(index));
        let text = std::fs::read_to_string(&path).expect("its configuration");
        assert!(text.contains(from), "no {from:?} in {text}");
        std::fs::write(&path, text.replace(from, to)).expect("a writable folder");
    }

    pub(crate) async fn kill(&mut self, index: usize) {
        let name = self.name(index);
        self.cluster.kill(&name).await.expect("a node to kill");
    }

    pub(crate) async fn restart(&mut self, index: usize) {
        let name = self.name(index);
        self.cluster.restart(&name).await.expect("the node comes back");
    }

    /// Makes transfers at a node until each account has one more that is acknowledged.
    pub(crate) async fn pay(&mut self, index: usize, replica: &str) {
        let mut client = self.client(index);
        for account in ACCOUNTS {
            let until = SystemClock.now() + PATIENCE;
            loop {
                let (acknowledged, unknown) = self.told.entry(account).or_default();
                match pay_once(&mut client, account, replica).await {
                    Ok(_) => {
                        *acknowledged += 1;
                        break;
                    }
                    Err(Told { has_no_effect, what }) => {
                        *unknown += u64::from(!has_no_effect);
                        assert!(SystemClock.now() < until, "{account} at {replica}: {what}");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        }
    }

    /// Kills a node while transfers are made there, and makes others at another one meanwhile.
    pub(crate) async fn kill_while_paying(&mut self, index: usize, other: usize) {
        let replicas = self.replicas;
        let mut there = self.client(index);
        for _ in 0..3 {
            let paid = pay_once(&mut there, ACCOUNTS[0], replicas[index % 2]).await;
            let (acknowledged, unknown) = self.told.entry(ACCOUNTS[0]).or_default();
            *(if paid.is_ok() { acknowledged } else { unknown }) += 1;
        }
        let last = pay_once(&mut there, ACCOUNTS[1], replicas[index % 2]);
        let (paid, ()) = tokio::join!(last, self.kill(index));
        let is_paid = paid.is_ok();
        let (acknowledged, unknown) = self.told.entry(ACCOUNTS[1]).or_default();
        *(if is_paid { acknowledged } else { unknown }) += 1;
        self.pay(other, replicas[other % 2]).await;
    }

    pub(crate) async fn summary(
        &self,
        index: usize,
        account: &str,
        replica: &str,
    ) -> Option<Summary> {
        let path = format!("/entities/account/{account}");
        let read = self.client(index).json(&path, &[("antiphon-replica", replica)]).await;
        read.ok().and_then(|read| serde_json::from_value(read).ok())
    }

    /// Waits until both places show the same accounts, in which nothing is missing or doubled.
    pub(crate) async fn agree(&self) {
        for account in ACCOUNTS {
            let (acknowledged, unknown) = self.told.get(account).copied().unwrap_or_default();
            let until = SystemClock.now() + PATIENCE;
            loop {
                let mut seen = Vec::new();
                for (index, replica) in self.replicas.iter().enumerate() {
                    seen.push(self.summary(index, account, replica).await);
                }
                if let [Some(a), Some(b)] = &*seen
                    && a == b
                    && a.count >= acknowledged
                {
                    let count = i64::try_from(a.count).expect("few");
                    assert!(a.count <= acknowledged + unknown, "{account}: doubled: {a:?}");
                    let halves = (count * FEE, count * (CENTS - FEE));
                    assert_eq!((a.fees, a.balance), halves, "{account}: half of a transfer");
                    break;
                }
                assert!(
                    SystemClock.now() < until,
                    "{account}: {acknowledged} acknowledged, {unknown} unknown: {seen:?}"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Waits until a node's state of the cluster has this text, or has it no more.
    pub(crate) async fn shows(&self, index: usize, path: &str, text: &str, is_there: bool) {
        let until = SystemClock.now() + PATIENCE;
        loop {
            let answer = self.client(index).get(path, &[]).await;
            let body = answer.map(|(_, body)| String::from_utf8_lossy(&body).into_owned());
            let body = body.unwrap_or_default();
            if !body.is_empty() && body.contains(text) == is_there {
                return;
            }
            assert!(SystemClock.now() < until, "{path} of {index}, {text:?}: {body}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// By stream, the events in the journal of a place: origin and number among its events.
    pub(crate) async fn stored(&self, place: &str) -> BTreeMap<String, BTreeSet<(String, u64)>> {
        let open = self.cluster.journal(place).expect("a journal").open(true).await;
        let stores = open.expect("a journal").stores();
        let ids = stores.read_journal.persistence_ids("account", None, 1000).await.expect("ids");
        let mut all = BTreeMap::new();
        for id in ids {
            let events = stores.journal.replay(&id, SequenceNr::new(1), SequenceNr::MAX, 10_000);
            let events = events.await.expect("events");
            let numbers: Vec<u64> = events.iter().map(|event| event.sequence_nr.value()).collect();
            assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{id}: {numbers:?}");
            let named = |meta: &EventMeta| (meta.origin.as_str().to_owned(), meta.origin_nr());
            let names: BTreeSet<_> = events.iter().map(|event| named(&event.meta)).collect();
            assert_eq!(names.len(), events.len(), "{id}: an event is there twice");
            all.insert(id.as_str().to_owned(), names);
        }
        all
    }
}

/// The reason why a transfer was not acknowledged.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) has_no_effect: bool,
    pub(crate) what: String,
}

/// Makes one transfer.
pub(crate) async fn pay_once(
    client: &mut Client,
    account: &str,
    replica: &str,
) -> Result<Summary, Told> {
    let path = format!("/entities/account/{account}");
    let body = json!({ "transfer": [CENTS, FEE] });
    let answer = client.post(&path, &[("antiphon-replica", replica)], &body).await;
    let (status, body) = match answer {
        Ok(answer) => answer,
        Err(error) => return Err(Told { has_no_effect: false, what: error.to_string() }),
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(serde_json::from_value(body).expect("an account"));
    }
    Err(Told { has_no_effect: body["without_effect"] == json!(true), what: body.to_string() })
}
