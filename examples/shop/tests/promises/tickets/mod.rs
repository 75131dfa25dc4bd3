//! Tickets that buyers at two places buy at the same time, through `kill -9` and restart.

mod model;

use std::path::Path;
use std::sync::Arc;

use antiphon::app::client::Client;
use antiphon::app::cluster::{LocalCluster, LocalJournals};
use antiphon::base::task;
use antiphon::base::time::{Clock, SystemClock};
use antiphon::persistence::codec::CodecId;
use antiphon::runtime::transport::memory::SplitMix64;
use antiphon_shop::{Tally, Tickets};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{RwLock, mpsc};
use tokio::task::JoinHandle;

use crate::places::{
    self, Addresses, Caller, PATIENCE, PLACES, kill_and_restart, nodes, post_once, two_places,
};
use model::{Run, broken};

const PATH: &str = "/entities/tickets/fair";
const BUYERS: u64 = 4;
/// The sales that each buyer tries: together they want more than there are.
const SALES: u64 = 40;
const TICKETS: u32 = 240;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_keep_their_promises_through_kills_on_sqlite() {
    keep_their_promises(LocalJournals::default()).await;
}

#[cfg(feature = "cassandra")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_keep_their_promises_through_kills_on_cassandra() {
    if let Some(journals) = places::cassandra("antiphon_shop_tickets") {
        keep_their_promises(journals).await;
    }
}

/// A buyer that goes on at another node when it gets no answer; each sale that is over is told to
/// `done`.
fn buy(number: u64, addresses: Addresses, done: mpsc::Sender<()>) -> JoinHandle<Run> {
    task::spawn("buyer", async move {
        let mut random = SplitMix64::new(number);
        let turn = usize::try_from(number).expect("a small number");
        let (mut caller, mut told) = (Caller::new(addresses, turn), Run::default());
        for sale in 0..SALES {
            let (buyer, count) = (format!("b-{number}-{sale}"), 1 + random.next_u64() % 4);
            sell(&mut caller, &mut told, buyer, count).await;
            let _ = done.send(()).await;
        }
        told
    })
}

/// Returns whether tickets were sold for certain, or not for certain; `None` without an answer.
async fn sell(caller: &mut Caller, told: &mut Run, buyer: String, count: u64) -> Option<bool> {
    let body = json!({ "sell": { "buyer": buyer, "count": count } });
    let answer = caller.call(PATH, Some(&body)).await;
    match answer {
        Some((200, _)) => drop(told.sold.insert(buyer, count)),
        Some(_) => {}
        None => drop(told.unknown.insert(buyer, count)),
    }
    Some(answer?.0 == 200)
}

async fn keep_their_promises(journals: LocalJournals) {
    let folder = TempDir::new().expect("a folder");
    let binary = Path::new(env!("CARGO_BIN_EXE_shop"));
    let mut cluster = two_places(journals, folder.path(), binary, "").await;
    let addresses: Addresses = Arc::new(RwLock::new(nodes(&cluster)));
    // once: the model counts the tickets
    post_once(cluster.nodes()[0].http.clone(), PATH, &json!({ "put": TICKETS })).await;

    let (done, mut sales) = mpsc::channel(usize::try_from(BUYERS * SALES).expect("small"));
    let buyers: Vec<_> =
        (0..BUYERS).map(|number| buy(number, addresses.clone(), done.clone())).collect();
    for index in [1, 0] {
        for _ in 0..BUYERS * SALES / 4 {
            sales.recv().await.expect("the buyers go on");
        }
        kill_and_restart(&mut cluster, index, &addresses).await;
    }
    let mut run = Run { put: u64::from(TICKETS), ..Run::default() };
    for buyer in buyers {
        let told = buyer.await.expect("no buyer panics");
        run.sold.extend(told.sold);
        run.unknown.extend(told.unknown);
    }
    let answered = run.sold.len();
    assert!(answered > 20, "{answered} sales");

    // the rest is sold at one place, which gets the tickets of the other one
    let mut caller = Caller::new(addresses.clone(), 0);
    let until = SystemClock.now() + PATIENCE;
    for sale in 0.. {
        sell(&mut caller, &mut run, format!("rest-{sale}"), 1).await;
        let (tallies, is_over) = tallies(&cluster).await;
        run.tallies = tallies;
        if is_over {
            break;
        }
        assert!(SystemClock.now() < until, "not sold out: {:?}", run.tallies);
    }
    for place in PLACES {
        run.events = events(&cluster, place).await;
        assert_eq!(broken(&run), Vec::<String>::new(), "{place}");
    }
}

/// The numbers that both places answer with, and whether all tickets are sold at both.
async fn tallies(cluster: &LocalCluster) -> (Vec<Tally>, bool) {
    let mut tallies = Vec::new();
    for node in cluster.nodes() {
        let mut client = Client::new(node.http.clone()).with_timeout(PATIENCE);
        let read = client.json(PATH, &[("antiphon-replica", &node.replica)]).await;
        let read = read.ok().and_then(|read| serde_json::from_value(read).ok());
        tallies.extend::<Option<Tally>>(read);
    }
    let is_over = |tally: &Tally| (tally.left, tally.sold) == (0, u64::from(TICKETS));
    let all = tallies.len() == PLACES.len() && tallies.iter().all(is_over);
    (tallies, all)
}

/// The events in the journal of a place, with the place that wrote each.
async fn events(cluster: &LocalCluster, place: &str) -> Vec<(String, antiphon_shop::TicketsEvent)> {
    let mut all = places::events(cluster, place, Tickets::TYPE).await;
    let of_fair = all.remove("fair").unwrap_or_default().into_iter();
    let events = of_fair.map(|event| {
        let codec = CodecId::from_stored(event.payload.codec).expect("a codec");
        let read = codec.decode(&event.payload.bytes).expect("an event of today");
        (event.meta.origin.to_string(), read)
    });
    events.collect()
}
