//! The behaviour of a cart, with a stand-in for the stocks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use antiphon::prelude::*;
use antiphon::testkit::{Did, EntityTest, StandIns};
use antiphon_shop::{
    Cart, CartCommand, CartEvent, Contents, NotSold, Reserved, ShopSettings, Stage, StockCommand,
};

const EXPIRES: Duration = Duration::from_secs(15 * 60);

/// A cart whose stocks have ten pieces each.
fn cart() -> EntityTest<Cart> {
    cart_of(Arc::new(AtomicU32::new(10)))
}

/// A cart whose stocks have so many pieces each.
fn cart_of(left: Arc<AtomicU32>) -> EntityTest<Cart> {
    let settings =
        ShopSettings { prices: BTreeMap::from([("pen".into(), 120)]), ..ShopSettings::default() };
    EntityTest::new(Cart::new(Arc::new(settings)), "cart|c-1|DC-A").with_entity::<StockCommand>(
        "stock",
        move |_, command| match command {
            StockCommand::Reserve { count, reply_to, .. }
                if count <= left.load(Ordering::Relaxed) =>
            {
                reply_to.reply(Reserved::All(7));
            }
            StockCommand::Reserve { reply_to, .. } => {
                reply_to.reply(Reserved::Only(u64::from(left.load(Ordering::Relaxed))));
            }
            StockCommand::Sell { number, .. } => assert_eq!(number, 7),
            StockCommand::Release { .. } => {}
            StockCommand::Put { .. } | StockCommand::Get { .. } | StockCommand::Answered { .. } => {
                panic!("no cart sends this")
            }
        },
    )
}

type Answer = std::result::Result<Contents, String>;

fn add(item: &str, count: u32) -> impl FnOnce(ReplyTo<Answer>) -> CartCommand {
    let item = item.to_owned();
    move |reply_to| CartCommand::Add { item, count, reply_to }
}

fn expire() -> Did {
    let home = ReplicaId::new("DC-A").expect("a name");
    Did::ReminderSet("expire".into(), Reminder::after(EXPIRES).at_replica(home))
}

fn asked() -> Did {
    Did::Asked("stock|pen|DC-A".into())
}

#[test]
fn an_item_is_reserved_beside_the_commands_and_puts_the_end_of_the_cart_off() {
    let mut cart = cart();
    let contents = cart.try_ask(add("pen", 3)).unwrap();
    assert_eq!((contents.items["pen"], contents.stage), (3, Stage::Open));
    assert_eq!(cart.effects(), [Did::Persisted(1), expire(), Did::BesideBegun, asked()]);
}

#[test]
fn an_item_that_the_stock_has_not_leaves_the_cart_again() {
    let mut cart = cart();
    let refused = cart.try_ask(add("pen", 11)).unwrap_err().refusal();
    assert_eq!(refused.as_deref(), Some("the cart can have 10 of `pen`"));
    assert!(cart.state().items.is_empty());
}

#[test]
fn a_stock_that_does_not_answer_in_time_leaves_the_cart_as_it_was() {
    let mut cart = cart();
    cart.hold_futures();
    let mut added = cart.begin_ask(add("pen", 3));
    assert!(added.answer().is_none());
    cart.time_out_futures();
    let Some(Ok(Err(why))) = added.answer() else { panic!("no refusal") };
    assert!(why.contains("has not ended in time"), "{why}");
    assert!(cart.state().items.is_empty());
}

#[test]
fn an_order_is_made_by_one_event_after_every_stock_has_its_pieces_and_is_made_once() {
    let mut cart = cart().given([CartEvent::Added { item: "pen".into(), count: 2 }]);
    let check_out = |reply_to| CartCommand::CheckOut { reply_to };
    assert_eq!(cart.try_ask(check_out), Ok(240));
    let (sold, told) = (Did::Persisted(1), Did::Told("stock|pen|DC-A".into()));
    let begun = [Did::BesideBegun, asked()];
    let ended = [sold, Did::ReminderCancelled("expire".into()), told];
    assert_eq!(cart.effects(), [&begun[..], &ended[..]].concat());

    assert_eq!(cart.try_ask(check_out), Ok(240), "a client repeats it");
    assert!(cart.effects().is_empty());
    cart.pass(2 * EXPIRES);
    assert_eq!(cart.state().stage, Stage::Sold);
}

#[test]
fn a_checkout_that_was_not_sold_is_tried_again_with_the_same_request_id() {
    let left = Arc::new(AtomicU32::new(1));
    let mut cart = cart_of(left.clone());
    cart = cart.given([CartEvent::Added { item: "pen".into(), count: 2 }]);
    let id = RequestId::new("order-7").unwrap();
    let check_out = |reply_to| CartCommand::CheckOut { reply_to };
    let missing = NotSold::Missing(BTreeMap::from([("pen".into(), 1)]));
    assert_eq!(cart.ask_once(&id, check_out), Ok(Err(missing)));
    cart.restart();
    left.store(10, Ordering::Relaxed);
    assert_eq!(cart.ask_once(&id, check_out), Ok(Ok(240)), "nothing was done before");
    left.store(0, Ordering::Relaxed);
    assert_eq!(cart.ask_once(&id, check_out), Ok(Ok(240)), "it is done once");
    cart.restart();
    let before = cart.new_events().len();
    assert_eq!(cart.ask_once(&id, check_out), Ok(Ok(240)), "the events say so");
    assert_eq!(cart.new_events().len(), before);
}

#[test]
fn a_cart_that_nobody_uses_expires_and_gives_its_pieces_back_also_after_a_restart() {
    let mut cart = cart();
    cart.try_ask(add("pen", 3)).unwrap();
    cart.restart();
    cart.pass(EXPIRES);
    assert_eq!(cart.effects(), [Did::Persisted(1), Did::Told("stock|pen|DC-A".into())]);
    let late = cart.try_ask(|reply_to| CartCommand::CheckOut { reply_to }).unwrap_err();
    let refused = NotSold::Refused("the cart has expired".into());
    assert_eq!(late.refusal(), Some(refused));
}
