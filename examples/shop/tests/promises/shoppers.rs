//! Clients of the shop, which add, check out and leave carts, at whichever node answers.

use std::collections::BTreeMap;

use antiphon::base::task;
use antiphon::base::time::{Clock, SystemClock};
use antiphon::runtime::transport::memory::SplitMix64;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::places::{Addresses, Caller, PATIENCE};

/// The kinds of items.
pub(crate) const ITEMS: [&str; 4] = ["pen", "ink", "paper", "clip"];

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
            caller: Caller::new(addresses, usize::try_from(number).expect("a small number")),
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
    caller: Caller,
    told: Told,
}

impl Shopper {
    async fn fill(&mut self, cart: &str) {
        let path = format!("/entities/cart/{cart}");
        for _ in 0..=self.random.next_u64() % 3 {
            let item = ITEMS[usize::try_from(self.random.next_u64() % 4).expect("small")];
            let count = u32::try_from(1 + self.random.next_u64() % 4).expect("small");
            let add = json!({ "add": { "item": item, "count": count } });
            match self.caller.call(&path, Some(&add)).await {
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
            match self.caller.call(&format!("/checkout/{cart}"), Some(&Value::Null)).await {
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
