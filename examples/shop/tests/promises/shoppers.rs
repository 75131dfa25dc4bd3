//! Clients of the shop, which add, check out and leave carts, at whichever node answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::base::task;
use antiphon::base::time::{Clock, SystemClock};
use antiphon::runtime::transport::memory::SplitMix64;
use serde_json::{Value, json};
use tokio::sync::{RwLock, mpsc};
use tokio::task::JoinHandle;

use crate::PATIENCE;

/// The kinds of items.
pub(crate) const ITEMS: [&str; 4] = ["pen", "ink", "paper", "clip"];

/// The addresses of the nodes, which change when a node comes back.
pub(crate) type Addresses = Arc<RwLock<Vec<String>>>;

/// The outcomes that a shopper was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) added: BTreeMap<String, BTreeMap<String, u32>>,
    pub(crate) orders: BTreeMap<String, u64>,
    /// The refusals of adds, for want of pieces.
    pub(crate) refused: usize,
    /// The carts that were left.
    pub(crate) left: usize,
}

/// A shopper with this number of carts; each cart that is done is told to `done`.
pub(crate) fn shop(
    number: u64,
    carts: u64,
    addresses: Addresses,
    done: mpsc::Sender<()>,
) -> JoinHandle<Told> {
    task::spawn("shopper", async move {
        let mut shopper = Shopper {
            random: SplitMix64::new(number),
            addresses,
            turn: usize::try_from(number).expect("a small number"),
            client: None,
            told: Told::default(),
        };
        for cart in 0..carts {
            shopper.fill(&format!("c-{number}-{cart}")).await;
            let _ = done.send(()).await;
        }
        shopper.told
    })
}

struct Shopper {
    random: SplitMix64,
    addresses: Addresses,
    turn: usize,
    client: Option<Client>,
    told: Told,
}

impl Shopper {
    /// Posts once. `None`: the outcome is not known, and the next request goes to another node.
    async fn post(&mut self, path: &str, body: &Value) -> Option<(u16, Value)> {
        if self.client.is_none() {
            let addresses = self.addresses.read().await;
            let address = addresses[self.turn % addresses.len()].clone();
            self.client = Some(Client::new(address).with_timeout(Duration::from_secs(4)));
        }
        let client = self.client.as_mut().expect("just made");
        if let Ok((status, answer)) = client.post(path, &[], body).await
            && matches!(status.as_u16(), 200 | 409)
        {
            return Some((status.as_u16(), serde_json::from_slice(&answer).expect("JSON")));
        }
        self.client = None;
        self.turn += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        None
    }

    async fn fill(&mut self, cart: &str) {
        let path = format!("/entities/cart/{cart}");
        for _ in 0..=self.random.next_u64() % 3 {
            let item = ITEMS[usize::try_from(self.random.next_u64() % 4).expect("small")];
            let count = u32::try_from(1 + self.random.next_u64() % 4).expect("small");
            let add = json!({ "add": { "item": item, "count": count } });
            match self.post(&path, &add).await {
                Some((200, _)) => {
                    let items = self.told.added.entry(cart.to_owned()).or_default();
                    *items.entry(item.to_owned()).or_default() += count;
                }
                Some(_) => self.told.refused += 1,
                None => {}
            }
        }
        if self.random.next_u64().is_multiple_of(3) {
            self.told.left += 1;
            return;
        }
        // a checkout may be repeated until its outcome is known
        let until = SystemClock.now() + PATIENCE;
        loop {
            match self.post(&format!("/checkout/{cart}"), &Value::Null).await {
                Some((200, bill)) => {
                    let cents = bill["cents"].as_u64().expect("a price");
                    self.told.orders.insert(cart.to_owned(), cents);
                    return;
                }
                Some(_) => return,
                None => assert!(SystemClock.now() < until, "{cart} is not checked out"),
            }
        }
    }
}
