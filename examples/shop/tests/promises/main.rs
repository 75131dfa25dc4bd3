//! The promises of the shop over real processes at two places, through `kill -9` and restart, on
//! SQLite; and on Cassandra when `TEST_CASSANDRA` names a server.

mod model;
mod places;
mod planted;
mod shoppers;
mod tickets;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::{LocalCluster, LocalJournals};
use antiphon::base::time::{Clock, SystemClock};
use antiphon::persistence::codec::CodecId;
use antiphon::prelude::*;
use antiphon_shop::{Cart, CartEvent, Levels, Stock, home};
use serde::de::DeserializeOwned;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{RwLock, mpsc};

use crate::model::{Run, broken};
use crate::places::{Addresses, PATIENCE, PLACES, kill_and_restart, nodes, post_once, two_places};
use crate::shoppers::{ITEMS, shop};

const SHOPPERS: u64 = 4;
/// Carts of each shopper.
const CARTS: u64 = 16;
/// The pieces of each item that come in: fewer than the shoppers want.
const PIECES: u32 = 40;
const EXTRA: &str = "[shop]\nexpires_after = \"3s\"\n[shop.prices]\npen = 120\nink = 450\npaper = 10\nclip = 1\n[sharding.types.cart]\npassivate_after = \"1s\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_keeps_its_promises_through_kills_on_sqlite() {
    keeps_its_promises(LocalJournals::default()).await;
}

#[cfg(feature = "cassandra")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_keeps_its_promises_through_kills_on_cassandra() {
    if let Some(journals) = places::cassandra("antiphon_shop") {
        keeps_its_promises(journals).await;
    }
}

async fn keeps_its_promises(journals: LocalJournals) {
    let folder = TempDir::new().expect("a folder");
    let binary = Path::new(env!("CARGO_BIN_EXE_shop"));
    let mut cluster = two_places(journals, folder.path(), binary, EXTRA).await;
    let replicas = PLACES.map(|place| ReplicaId::new(place).expect("a place"));
    let homes = ITEMS.map(|item| home(&replicas, Stock::TYPE, item));
    assert!(replicas.iter().all(|replica| homes.contains(&replica)), "stocks at both places");
    let addresses: Addresses = Arc::new(RwLock::new(Vec::new()));
    *addresses.write().await = nodes(&cluster);
    for item in ITEMS {
        // once: the model counts the pieces
        let (path, put) = (format!("/entities/stock/{item}"), json!({ "put": PIECES }));
        post_once(cluster.nodes()[0].http.clone(), &path, &put).await;
    }

    let carts = usize::try_from(SHOPPERS * CARTS).expect("a small number");
    let (done, mut carts) = mpsc::channel(carts);
    let shoppers: Vec<_> =
        (0..SHOPPERS).map(|number| shop(number, CARTS, addresses.clone(), done.clone())).collect();
    for index in [1, 0] {
        for _ in 0..SHOPPERS * CARTS / 4 {
            carts.recv().await.expect("the shoppers go on");
        }
        kill_and_restart(&mut cluster, index, &addresses).await;
    }
    let prices = [("pen", 120), ("ink", 450), ("paper", 10), ("clip", 1)];
    let mut run = Run {
        put: ITEMS.map(|item| (item.to_owned(), u64::from(PIECES))).into(),
        prices: prices.map(|(item, cents)| (item.to_owned(), cents)).into(),
        ..Run::default()
    };
    let (mut refused, mut left) = (0, 0);
    for shopper in shoppers {
        let told = shopper.await.expect("no shopper panics");
        run.added.extend(told.added);
        run.orders.extend(told.orders);
        refused += told.refused;
        left += told.left;
    }
    let orders = run.orders.len();
    assert!(orders > 5 && refused > 5 && left > 5, "{orders} orders, {refused}, {left}");

    run.levels = levels_at_rest(&cluster).await;
    for place in PLACES {
        let until = SystemClock.now() + PATIENCE / 4;
        loop {
            run.stocks = events(&cluster, place, Stock::TYPE).await;
            run.carts = events(&cluster, place, Cart::TYPE).await;
            // the events of the other place arrive later
            let found = broken(&run);
            if found.is_empty() {
                break;
            }
            assert!(SystemClock.now() < until, "{place}: {found:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let ended = |event: &CartEvent| matches!(event, CartEvent::Expired);
        let expired = run.carts.values().filter(|events| events.iter().any(ended)).count();
        assert!(expired > 5, "only {expired} carts have expired");
    }
}

/// By entity, the events in the journal of a place, each decided at the home of its entity.
async fn events<E: DeserializeOwned>(
    cluster: &LocalCluster,
    place: &str,
    kind: &str,
) -> BTreeMap<String, Vec<E>> {
    let replicas = PLACES.map(|place| ReplicaId::new(place).expect("a place"));
    let all = places::events(cluster, place, kind).await.into_iter().map(|(entity, stored)| {
        let home = home(&replicas, kind, &entity);
        let elsewhere = stored.iter().find(|event| event.meta.origin != *home);
        assert!(elsewhere.is_none(), "{entity}: not decided at {home}: {elsewhere:?}");
        let events = stored.iter().map(|event| {
            let codec = CodecId::from_stored(event.payload.codec).expect("a codec");
            codec.decode(&event.payload.bytes).expect("an event of today")
        });
        (entity, events.collect())
    });
    all.collect()
}

/// The levels of all items, when no cart has pieces any more and both places have the same.
async fn levels_at_rest(cluster: &LocalCluster) -> Vec<BTreeMap<String, Levels>> {
    let until = SystemClock.now() + PATIENCE;
    loop {
        let mut all = Vec::new();
        for node in cluster.nodes() {
            let mut client = Client::new(node.http.clone()).with_timeout(PATIENCE);
            let mut levels = BTreeMap::new();
            for item in ITEMS {
                let path = format!("/entities/stock/{item}");
                let read = client.json(&path, &[("antiphon-replica", &node.replica)]).await;
                if let Some(read) = read.ok().and_then(|read| serde_json::from_value(read).ok()) {
                    levels.insert(item.to_owned(), read);
                }
            }
            all.push(levels);
        }
        let is_at_rest = |levels: &BTreeMap<String, Levels>| {
            levels.len() == ITEMS.len() && levels.values().all(|levels| levels.reserved == 0)
        };
        if all.iter().all(is_at_rest) && all[0] == all[1] {
            return all;
        }
        assert!(SystemClock.now() < until, "not at rest: {all:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
