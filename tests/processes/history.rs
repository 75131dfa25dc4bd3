//! Writers that remember the acknowledged bids, and the check of these bids against a journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon_auction::{AuctionHouse, Event};
use antiphon_base::task;
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::event::SequenceNr;
use parking_lot::{Mutex, RwLock};
use serde_json::json;
use tokio::task::JoinHandle;

/// Writers of bids, each at a place of its own.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    pub(crate) acknowledged: Arc<Mutex<BTreeSet<u64>>>,
    /// By place, the addresses of its nodes.
    pub(crate) nodes: Arc<RwLock<BTreeMap<String, Vec<String>>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    pub(crate) fn start(nodes: BTreeMap<String, Vec<String>>, each: usize) -> Self {
        let mut writers = Self {
            stop: Arc::default(),
            acknowledged: Arc::default(),
            nodes: Arc::new(RwLock::new(nodes.clone())),
            tasks: Vec::new(),
        };
        let next = Arc::new(AtomicU64::new(0));
        for place in nodes.keys() {
            for turn in 0..each {
                let (stop, acknowledged) = (writers.stop.clone(), writers.acknowledged.clone());
                let (nodes, next, place) = (writers.nodes.clone(), next.clone(), place.clone());
                writers.tasks.push(task::spawn("bidder", async move {
                    let mut turn = turn;
                    let mut client: Option<Client> = None;
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let to = client.get_or_insert_with(|| {
                            let nodes = nodes.read();
                            let address = nodes[&place][turn % nodes[&place].len()].clone();
                            Client::new(address).with_timeout(Duration::from_secs(6))
                        });
                        let path = format!("/entities/auction/a-{}", number % 20);
                        let bid = json!({ "number": number, "bidder": "b", "amount": number + 1 });
                        let headers = [("antiphon-replica", place.as_str())];
                        let answer = to.post(&path, &headers, &json!({ "place": bid })).await;
                        if answer.is_ok_and(|(status, _)| status.is_success()) {
                            acknowledged.lock().insert(number);
                        } else {
                            client = None;
                            turn += 1;
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    }
                }));
            }
        }
        writers
    }

    pub(crate) fn count(&self) -> usize {
        self.acknowledged.lock().len()
    }

    pub(crate) async fn finish(self) -> BTreeSet<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no writer panics");
        }
        std::mem::take(&mut *self.acknowledged.lock())
    }
}

/// By auction, the origins and numbers of all events; and all bids.
pub(crate) type Journal = (BTreeMap<String, BTreeSet<(String, u64)>>, BTreeSet<u64>);

/// Reads a journal; no event may be in it twice.
pub(crate) async fn journal(of: &antiphon::Journal) -> Journal {
    let stores = of.open(true).await.expect("a journal").stores();
    let ids = stores.read_journal.persistence_ids("auction", None, 10_000).await.expect("ids");
    let (mut streams, mut bids) = (BTreeMap::new(), BTreeSet::new());
    for id in ids {
        let mut dots = BTreeSet::new();
        let mut first = SequenceNr::new(1);
        loop {
            let events = stores.journal.replay(&id, first, SequenceNr::MAX, 1000).await;
            let events = events.expect("events");
            let Some(last) = events.last() else { break };
            first = last.sequence_nr.next();
            for event in &events {
                let dot = (event.meta.origin.to_string(), event.meta.origin_nr());
                assert!(dots.insert(dot.clone()), "{id}: {dot:?} is there twice");
                for event in AuctionHouse.from_journal(&event.payload).expect("an event") {
                    if let Event::Placed(bid) = event {
                        bids.insert(bid.number);
                    }
                }
            }
        }
        let entity = id.as_str().split('|').nth(1).unwrap_or_default().to_owned();
        streams.insert(entity, dots);
    }
    (streams, bids)
}
