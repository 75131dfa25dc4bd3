//! Broken promises, planted in a run that keeps all of them: the model finds each.

use antiphon_shop::{CartEvent, Levels, StockEvent};

use crate::model::{Run, broken};

/// One order of two pens, and one cart that expired with three.
fn kept() -> Run {
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let added = |count| CartEvent::Added { item: "pen".to_owned(), count };
    let reservations = [("pen".to_owned(), 1)].into();
    let levels = Levels { free: 8, reserved: 0, sold: 2 };
    Run {
        put: [("pen".to_owned(), 10)].into(),
        prices: [("pen".to_owned(), 120)].into(),
        added: [(a.clone(), [("pen".to_owned(), 2)].into())].into(),
        orders: [(a.clone(), 240)].into(),
        stocks: [(
            "pen".to_owned(),
            vec![
                StockEvent::Put(10),
                StockEvent::Reserved { cart: a.clone(), count: 2 },
                StockEvent::Reserved { cart: b.clone(), count: 3 },
                StockEvent::Sold { cart: a.clone(), count: 2 },
                StockEvent::Released { cart: b.clone() },
            ],
        )]
        .into(),
        carts: [
            (a, vec![added(2), CartEvent::Sold { cents: 240, reservations }]),
            (b, vec![added(3), CartEvent::Expired]),
        ]
        .into(),
        levels: vec![[("pen".to_owned(), levels)].into(); 2],
    }
}

#[test]
fn a_run_that_keeps_its_promises_has_none_broken() {
    assert_eq!(broken(&kept()), Vec::<String>::new());
}

#[test]
fn each_broken_promise_is_found() {
    type Plant = fn(&mut Run);
    let planted: [(&str, Plant); 9] = [
        ("a piece of another cart", |run| {
            run.stocks.get_mut("pen").unwrap()[2] =
                StockEvent::Reserved { cart: "b".to_owned(), count: 9 };
        }),
        ("sold twice", |run| {
            let events = run.stocks.get_mut("pen").unwrap();
            events.push(StockEvent::Reserved { cart: "a".to_owned(), count: 2 });
            events.push(StockEvent::Sold { cart: "a".to_owned(), count: 2 });
        }),
        ("gives back what it has not", |run| {
            let again = StockEvent::Released { cart: "b".to_owned() };
            run.stocks.get_mut("pen").unwrap().push(again);
        }),
        ("not given back", |run| drop(run.stocks.get_mut("pen").unwrap().pop())),
        ("an order of 2 pen, with None", |run| {
            run.stocks.get_mut("pen").unwrap()[3] = StockEvent::Released { cart: "a".to_owned() };
        }),
        ("which ordered None", |run| drop(run.carts.get_mut("a").unwrap().pop())),
        ("acknowledged for 240, and sold for None", |run| drop(run.carts.remove("a"))),
        ("after its end", |run| run.carts.get_mut("a").unwrap().push(CartEvent::Expired)),
        ("10 came in", |run| run.stocks.get_mut("pen").unwrap()[0] = StockEvent::Put(11)),
    ];
    for (expected, plant) in planted {
        let mut run = kept();
        plant(&mut run);
        let found = broken(&run);
        assert!(found.iter().any(|found| found.contains(expected)), "{expected}: {found:?}");
    }
}
