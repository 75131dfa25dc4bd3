//! Bids over HTTP, to all places at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use antiphon::base::task;
use antiphon::base::time::{Clock, SystemClock};
use antiphon::prelude::*;
use antiphon_auction::RecordedBid;
use parking_lot::{Mutex, MutexGuard, RwLock};
use serde_json::json;
use tokio::task::JoinHandle;

use super::figures::Figures;
use super::places::Places;
use antiphon::app::client::{Access, Client};
use antiphon::app::output;

/// Connections of each replica.
const CONNECTIONS: usize = 8;

#[derive(Debug, Default)]
struct Shared {
    begun: AtomicUsize,
    done: AtomicUsize,
    retries: AtomicUsize,
    /// Set when no further bid may begin.
    is_stopped: AtomicBool,
    /// By replica, the longest time that a bid took since the last [`Feed::stage`].
    longest: Mutex<BTreeMap<String, Duration>>,
    /// By replica, the HTTP addresses of its nodes.
    nodes: RwLock<BTreeMap<String, Vec<String>>>,
    acknowledged: Mutex<BTreeSet<u64>>,
    /// The numbers of the bids that were begun and are not answered.
    under_way: Mutex<BTreeSet<u64>>,
    refused: AtomicUsize,
    access: Access,
}

impl Shared {
    fn under_way(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.under_way.lock()
    }
}

/// A running feed of bids.
#[derive(Debug)]
pub(super) struct Feed {
    shared: Arc<Shared>,
    total: usize,
    tasks: Vec<JoinHandle<()>>,
}

/// The result of the whole feed.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) acknowledged: BTreeSet<u64>,
    pub(super) total: usize,
}

/// The result of the bids of one stage.
#[derive(Debug)]
pub(super) struct Stage {
    /// The state of the places meanwhile, such as "all nodes up".
    pub(super) name: String,
    pub(super) bids: usize,
    /// Attempts that got no answer or a "not now", and were repeated.
    pub(super) retries: usize,
    /// By replica, the longest time that a bid took, with all its attempts.
    pub(super) longest: BTreeMap<String, Duration>,
    /// The events that became durable at other replicas meanwhile.
    pub(super) figures: Figures,
}

impl Feed {
    /// Sends `pace` bids a second, or fewer if the places do not take them.
    pub(super) fn start(places: &Places, bids: Arc<Vec<RecordedBid>>, pace: u32) -> Self {
        let access = places.access.clone();
        let shared = Arc::new(Shared { access, ..Shared::default() });
        let feed = Self { shared: shared.clone(), total: bids.len(), tasks: Vec::new() };
        feed.replace(places);
        let replica_count = places.journals.len();
        let began = SystemClock.now();
        let mut tasks = Vec::new();
        for (index, replica) in places.replicas().enumerate() {
            let next = Arc::new(AtomicUsize::new(0));
            for connection in 0..CONNECTIONS {
                let (shared, bids, next) = (shared.clone(), bids.clone(), next.clone());
                let replica = replica.clone();
                tasks.push(task::spawn("bids", async move {
                    let mut sender = Sender::new(shared, replica, connection);
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(bid) = bids.get(at) else { return };
                        if bid.replica % replica_count != index {
                            continue;
                        }
                        let due = began + Duration::from_secs_f64(at as f64 / f64::from(pace));
                        tokio::time::sleep_until(due).await;
                        if sender.shared.is_stopped.load(Ordering::Relaxed) {
                            return;
                        }
                        sender.send(bid).await;
                    }
                }));
            }
        }
        Self { tasks, ..feed }
    }

    /// Updates the addresses of the nodes, which change with a restart.
    pub(super) fn replace(&self, places: &Places) {
        let mut nodes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for node in &places.nodes {
            nodes.entry(node.replica.clone()).or_default().push(node.http.clone());
        }
        *self.shared.nodes.write() = nodes;
    }

    /// Ends the stage that follows `before`; `figures` are the sums of all stages until now.
    pub(super) fn stage(&self, name: &str, before: &[Stage], figures: &Figures) -> Stage {
        let sum = |of: fn(&Stage) -> usize| before.iter().map(of).sum::<usize>();
        let mut stage = Figures::default();
        before.iter().for_each(|before| stage.merge(&before.figures));
        let mut longest = self.shared.longest.lock();
        Stage {
            name: name.to_owned(),
            bids: self.shared.done.load(Ordering::Relaxed) - sum(|stage| stage.bids),
            retries: self.shared.retries.load(Ordering::Relaxed) - sum(|stage| stage.retries),
            longest: std::mem::take(&mut longest),
            figures: figures.since(&stage),
        }
    }

    /// Waits for the answers of the bids that are under way now; further bids go on.
    pub(super) async fn answered(&self) {
        let now = self.shared.under_way().clone();
        while !self.shared.under_way().is_disjoint(&now) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for the answers of the bids that have begun; no further bid begins.
    pub(super) async fn stop(self) -> Outcome {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.ended().await
    }

    /// Shows progress until that share of the bids is answered.
    pub(super) async fn progress_until(&self, share: f64) -> Result<()> {
        loop {
            let done = self.shared.done.load(Ordering::Relaxed);
            let retries = self.shared.retries.load(Ordering::Relaxed);
            let total = self.total;
            let is_over = done as f64 >= self.total as f64 * share;
            let line = format!("{done:>6} of {total} bids, {retries} repeated");
            if output::is_terminal() {
                output::print(format_args!("\r{line}  "))?;
            } else if is_over {
                // a line that is written over again and again makes a file hard to read
                output::print(format_args!("{line}"))?;
            }
            if is_over {
                return say!("");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for the answers of all bids.
    pub(super) async fn ended(self) -> Outcome {
        for task in self.tasks {
            let _ = task.await;
        }
        let acknowledged = std::mem::take(&mut *self.shared.acknowledged.lock());
        Outcome { acknowledged, total: self.shared.begun.load(Ordering::Relaxed) }
    }
}

struct Sender {
    shared: Arc<Shared>,
    replica: String,
    turn: usize,
    client: Option<Client>,
}

impl Sender {
    fn new(shared: Arc<Shared>, replica: String, turn: usize) -> Self {
        Self { shared, replica, turn, client: None }
    }

    /// Sends a bid until it is answered; after each failure the next attempt goes to another node
    /// of the place.
    async fn send(&mut self, bid: &RecordedBid) {
        let path = format!("/entities/auction/{}", bid.auction);
        let body = json!({ "place": bid.bid });
        let headers = [("antiphon-replica", self.replica.as_str())];
        self.shared.begun.fetch_add(1, Ordering::Relaxed);
        self.shared.under_way().insert(bid.bid.number);
        let began = SystemClock.now();
        loop {
            let client = self.client.get_or_insert_with(|| {
                let nodes = self.shared.nodes.read();
                let of_replica = &nodes[&self.replica];
                let address = of_replica[self.turn % of_replica.len()].clone();
                Client::new(address)
                    .with_timeout(Duration::from_secs(6))
                    .with_access(self.shared.access.clone())
            });
            match client.post(&path, &headers, &body).await {
                Ok((status, answer)) if status.is_success() => {
                    if answer.starts_with(b"\"accepted\"") || answer.starts_with(b"\"Accepted\"") {
                        let mut all = self.shared.acknowledged.lock();
                        all.insert(bid.bid.number);
                    } else {
                        self.shared.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    let mut all = self.shared.longest.lock();
                    let longest = all.entry(self.replica.clone()).or_default();
                    *longest = (*longest).max(SystemClock.now() - began);
                    self.shared.done.fetch_add(1, Ordering::Relaxed);
                    self.shared.under_way().remove(&bid.bid.number);
                    return;
                }
                _ => {
                    self.shared.retries.fetch_add(1, Ordering::Relaxed);
                    self.client = None;
                    self.turn += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}
