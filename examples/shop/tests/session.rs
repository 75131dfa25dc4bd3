//! A customer reads the own cart at the other place, by the token of the session, while no event
//! goes over the links.

use std::sync::Arc;
use std::time::Duration;

use antiphon::LocalPlace;
use antiphon::prelude::*;
use antiphon_shop::{Cart, CartCommand, ShopSettings, Stock, StockCommand};

const HOUR: Duration = Duration::from_secs(3600);

/// Neither direct replication nor, for an hour, the journal loop brings an event.
fn silent() -> ShardingSettings {
    ShardingSettings {
        event_publishing: false,
        loop_interval: HOUR,
        loop_interval_max: HOUR,
        ..ShardingSettings::default()
    }
}

async fn shop(node: &Node) -> (ReplicatedSharding<Cart>, ReplicatedSharding<Stock>) {
    let settings = Arc::new(ShopSettings::default());
    let replicas = ["DC-A", "DC-B"].map(|place| ReplicaId::new(place).expect("a name"));
    let stock = Stock::provider(settings.expires_after).with_replicas(replicas.clone());
    let stock = ReplicatedSharding::init(node, stock.with_settings(silent())).await;
    let cart = Cart::provider(settings).with_replicas(replicas);
    let carts = ReplicatedSharding::init(node, cart.with_settings(silent())).await;
    (carts.expect("carts"), stock.expect("stock"))
}

fn get(reply_to: ReplyTo<antiphon_shop::Contents>) -> CartCommand {
    CartCommand::Get { reply_to }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_reads_the_own_cart_at_the_other_place_by_a_session_token() {
    let [a, b] = LocalPlace::connected(["DC-A", "DC-B"]);
    let (one, two) = (a.start("one").await.expect("a node"), b.start("two").await.expect("a node"));
    let ((at_a, stock), (at_b, _)) = (shop(&one).await, shop(&two).await);
    let [dc_a, dc_b] = ["DC-A", "DC-B"].map(|place| ReplicaId::new(place).expect("a name"));
    let mut homes = std::collections::BTreeSet::new();
    for number in 0..6 {
        let (id, item) = (format!("c-{number}"), format!("item-{number}"));
        let cart = at_a.entity_ref_for(&id, &dc_a).expect("a reference");
        homes.insert(antiphon_shop::home(&[dc_a.clone(), dc_b.clone()], Cart::TYPE, &id).clone());
        let pieces = stock.entity_ref_for(&item, &dc_a).expect("a reference");
        let put = |reply_to| StockCommand::Put { count: 5, reply_to };
        assert_eq!(pieces.ask(put).await, Ok(5));
        // the commands of a cart are decided at its home, whichever place is asked
        let add = |reply_to| CartCommand::Add { item: item.clone(), count: 2, reply_to };
        let (added, token) = cart.ask_with_version(add).await.expect("an answer");
        assert_eq!(added.expect("room").items[&item], 2);

        for (place, replica) in [(&at_a, &dc_a), (&at_b, &dc_b)] {
            let cart = place.entity_ref_for(&id, replica).expect("a reference");
            let read = cart.after(&token).ask(get).await.expect("the cart as the customer left it");
            assert_eq!(read.items[&item], 2, "{id} at {replica}");
        }
    }
    assert_eq!(homes.len(), 2, "carts of both places");
}
