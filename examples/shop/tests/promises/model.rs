//! The promises of the shop, as a sequential model: the events of each stock and each cart are
//! walked one after the other, with an account of its own, and compared with the answers that
//! clients got.

use std::collections::BTreeMap;

use antiphon_shop::{CartEvent, Levels, StockEvent};

/// A run of the shop: what clients were told, and what the journals have at the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// By item, the pieces that came in.
    pub(crate) put: BTreeMap<String, u64>,
    /// By item, its price.
    pub(crate) prices: BTreeMap<String, u64>,
    /// By cart and item, the pieces whose `Add` was acknowledged.
    pub(crate) added: BTreeMap<String, BTreeMap<String, u32>>,
    /// By cart, the price that a checkout was answered with.
    pub(crate) orders: BTreeMap<String, u64>,
    /// By item, the events of its stock.
    pub(crate) stocks: BTreeMap<String, Vec<StockEvent>>,
    /// By cart, its events.
    pub(crate) carts: BTreeMap<String, Vec<CartEvent>>,
    /// By item, the levels that a place answers with.
    pub(crate) levels: Vec<BTreeMap<String, Levels>>,
}

/// The pieces of one item.
#[derive(Debug, Default)]
struct Shelf {
    came_in: u64,
    free: u64,
    /// By cart.
    reserved: BTreeMap<String, u32>,
    sold: BTreeMap<String, u32>,
}

impl Shelf {
    fn step(&mut self, event: &StockEvent) -> Result<(), String> {
        match event {
            StockEvent::Put(count) => {
                self.came_in += u64::from(*count);
                self.free += u64::from(*count);
            }
            StockEvent::Reserved { cart, count } => {
                let before = self.reserved.insert(cart.clone(), *count).unwrap_or(0);
                let more = count.checked_sub(before).filter(|more| *more > 0);
                let more = more.ok_or_else(|| format!("{cart} reserves {before}, then {count}"))?;
                let left = self.free.checked_sub(u64::from(more));
                self.free = left.ok_or_else(|| format!("{cart} has a piece of another cart"))?;
            }
            StockEvent::Sold { cart, count } => {
                let reserved = self.reserved.remove(cart).unwrap_or(0);
                let back = reserved.checked_sub(*count);
                self.free += u64::from(back.ok_or_else(|| format!("{cart} has too few pieces"))?);
                if self.sold.insert(cart.clone(), *count).is_some() {
                    return Err(format!("{cart} is sold twice"));
                }
            }
            StockEvent::Released { cart } => {
                let reserved = self.reserved.remove(cart);
                let back = reserved.ok_or_else(|| format!("{cart} gives back what it has not"))?;
                self.free += u64::from(back);
            }
            StockEvent::Kept { cart } if !self.reserved.contains_key(cart) => {
                return Err(format!("{cart} keeps what it has not"));
            }
            StockEvent::Kept { .. } => {}
        }
        Ok(())
    }

    fn levels(&self) -> Levels {
        let sum = |of: &BTreeMap<String, u32>| of.values().map(|count| u64::from(*count)).sum();
        Levels { free: self.free, reserved: sum(&self.reserved), sold: sum(&self.sold) }
    }
}

/// A cart.
#[derive(Debug, Default)]
struct Basket {
    items: BTreeMap<String, u32>,
    /// The price of the order.
    sold: Option<u64>,
    expired: bool,
}

impl Basket {
    fn step(&mut self, event: &CartEvent) -> Result<(), String> {
        if self.sold.is_some() || self.expired {
            return Err(format!("{event:?} after its end"));
        }
        match event {
            CartEvent::Added { item, count } => {
                *self.items.entry(item.clone()).or_default() += count;
            }
            CartEvent::Removed { item, count } => {
                let left = self.items.get(item).and_then(|all| all.checked_sub(*count));
                let left = left.ok_or_else(|| format!("removes {item}, which it has not"))?;
                self.items.insert(item.clone(), left);
            }
            CartEvent::CheckoutBegun => {}
            CartEvent::Sold { cents, .. } => self.sold = Some(*cents),
            CartEvent::Expired => self.expired = true,
        }
        Ok(())
    }
}

/// Returns every broken promise of a run that has come to rest.
pub(crate) fn broken(run: &Run) -> Vec<String> {
    let mut found = Vec::new();
    let mut shelves: BTreeMap<&str, Shelf> = BTreeMap::new();
    for (item, events) in &run.stocks {
        let shelf = shelves.entry(item).or_default();
        for event in events {
            if let Err(why) = shelf.step(event) {
                found.push(format!("stock {item}: {why}"));
            }
        }
    }
    let mut baskets: BTreeMap<&str, Basket> = BTreeMap::new();
    for (cart, events) in &run.carts {
        let basket = baskets.entry(cart).or_default();
        for event in events {
            if let Err(why) = basket.step(event) {
                found.push(format!("cart {cart}: {why}"));
            }
        }
    }
    stocks(run, &shelves, &baskets, &mut found);
    carts(run, &shelves, &baskets, &mut found);
    answers(run, &baskets, &mut found);
    found
}

fn stocks(
    run: &Run,
    shelves: &BTreeMap<&str, Shelf>,
    baskets: &BTreeMap<&str, Basket>,
    found: &mut Vec<String>,
) {
    for (item, put) in &run.put {
        let Some(shelf) = shelves.get(&**item) else {
            found.push(format!("stock {item}: no events"));
            continue;
        };
        let levels = shelf.levels();
        let all = levels.free + levels.reserved + levels.sold;
        if (shelf.came_in, all) != (*put, *put) {
            found.push(format!("stock {item}: {put} came in, and {shelf:?} has {all}"));
        }
        if !shelf.reserved.is_empty() {
            found.push(format!("stock {item}: not given back: {:?}", shelf.reserved));
        }
        for (place, seen) in run.levels.iter().enumerate() {
            if seen.get(item) != Some(&levels) {
                found.push(format!("stock {item}: {levels:?}, and place {place} has {seen:?}"));
            }
        }
        for (cart, count) in &shelf.sold {
            let basket = baskets.get(&**cart).filter(|basket| basket.sold.is_some());
            let ordered = basket.and_then(|basket| basket.items.get(item));
            if ordered != Some(count) {
                found.push(format!("stock {item}: {count} for {cart}, which ordered {ordered:?}"));
            }
        }
    }
}

fn carts(
    run: &Run,
    shelves: &BTreeMap<&str, Shelf>,
    baskets: &BTreeMap<&str, Basket>,
    found: &mut Vec<String>,
) {
    for (cart, basket) in baskets {
        let Some(cents) = basket.sold else {
            if !basket.expired {
                found.push(format!("cart {cart}: neither sold nor expired: {basket:?}"));
            }
            continue;
        };
        let mut price = 0;
        for (item, count) in basket.items.iter().filter(|(_, count)| **count > 0) {
            price += run.prices.get(item).copied().unwrap_or(0) * u64::from(*count);
            let sold = shelves.get(&**item).and_then(|shelf| shelf.sold.get(*cart));
            if sold != Some(count) {
                found.push(format!("cart {cart}: an order of {count} {item}, with {sold:?}"));
            }
        }
        if price != cents {
            found.push(format!("cart {cart}: sold for {cents}, and its items cost {price}"));
        }
    }
}

fn answers(run: &Run, baskets: &BTreeMap<&str, Basket>, found: &mut Vec<String>) {
    for (cart, cents) in &run.orders {
        let sold = baskets.get(&**cart).and_then(|basket| basket.sold);
        if sold != Some(*cents) {
            found.push(format!("cart {cart}: acknowledged for {cents}, and sold for {sold:?}"));
        }
    }
    for (cart, items) in &run.added {
        for (item, count) in items {
            let basket = baskets.get(&**cart);
            let has = basket.and_then(|basket| basket.items.get(item)).copied().unwrap_or(0);
            if has < *count {
                found.push(format!("cart {cart}: {count} {item} acknowledged, and {has} there"));
            }
        }
    }
}
