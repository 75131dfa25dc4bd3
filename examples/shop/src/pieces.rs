//! The pieces of one kind of item: those that are free, those that carts have reserved, and the
//! number of those that were sold. None is lost, and none is in two carts.

use std::collections::BTreeMap;

use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// Most carts that have a reservation of one kind of item at once.
pub const RESERVATIONS_MAX: usize = 10_000;

/// The answer to a request for pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reserved {
    /// The cart has its pieces, under a reservation with this number.
    All(u64),
    /// The cart could have only so many.
    Only(u64),
    /// [`RESERVATIONS_MAX`] other carts have pieces.
    Full,
}

/// A reservation of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The number of the reservation, which no other one of the stock ever has.
    pub number: u64,
    /// The pieces.
    pub count: u32,
    /// The time from which it is counted whether the reservation runs out.
    pub since: Timestamp,
}

/// The events of a stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StockEvent {
    /// Pieces came in.
    Put(u32),
    /// A cart has this number of pieces now, at least one more than before.
    Reserved {
        /// The id of the cart.
        cart: String,
        /// All pieces of the cart.
        count: u32,
    },
    /// A cart was sold: its reservation ended, and the pieces beyond `count` are free again.
    Sold {
        /// The id of the cart.
        cart: String,
        /// The pieces that were sold.
        count: u32,
    },
    /// The reservation of a cart ended, and its pieces are free again.
    Released {
        /// The id of the cart.
        cart: String,
    },
    /// A reservation had run out, but its cart still needs it.
    Kept {
        /// The id of the cart.
        cart: String,
    },
}

/// The state of a stock. At most [`RESERVATIONS_MAX`] carts are in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pieces {
    /// The pieces that nobody has.
    pub free: u64,
    /// The pieces that were sold.
    pub sold: u64,
    /// The reservations, by the id of their cart.
    pub reservations: BTreeMap<String, Reservation>,
    /// The number of reservations so far.
    pub numbers: u64,
}

/// The number of pieces in each position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// The pieces that nobody has.
    pub free: u64,
    /// The pieces in carts.
    pub reserved: u64,
    /// The pieces that were sold.
    pub sold: u64,
}

impl Pieces {
    /// Their levels.
    pub fn levels(&self) -> Levels {
        let reserved = self.reservations.values().map(|held| u64::from(held.count)).sum();
        Levels { free: self.free, reserved, sold: self.sold }
    }

    /// Decides whether a cart can have `count` pieces in all. A cart that has them already gets
    /// the same answer again.
    pub fn reserve(&self, cart: &str, count: u32) -> Reserved {
        let held = self.reservations.get(cart);
        let more = u64::from(count.saturating_sub(held.map_or(0, |held| held.count)));
        match held {
            Some(held) if more <= self.free => Reserved::All(held.number),
            Some(held) => Reserved::Only(self.free + u64::from(held.count)),
            None if more > self.free => Reserved::Only(self.free),
            None if self.reservations.len() >= RESERVATIONS_MAX => Reserved::Full,
            None => Reserved::All(self.numbers + 1),
        }
    }

    /// The reservation of a cart, if it has this number.
    pub fn numbered(&self, cart: &str, number: u64) -> Option<&Reservation> {
        self.reservations.get(cart).filter(|held| held.number == number)
    }

    /// Applies an event with its time.
    pub fn apply(&mut self, now: Timestamp, event: &StockEvent) {
        match event {
            StockEvent::Put(count) => self.free = self.free.saturating_add(u64::from(*count)),
            StockEvent::Reserved { cart, count } => {
                let Some(held) = self.reservations.get_mut(cart) else {
                    self.numbers += 1;
                    self.free = self.free.saturating_sub(u64::from(*count));
                    let new = Reservation { number: self.numbers, count: *count, since: now };
                    self.reservations.insert(cart.clone(), new);
                    return;
                };
                let more = count.saturating_sub(held.count);
                self.free = self.free.saturating_sub(u64::from(more));
                (held.count, held.since) = (*count, now);
            }
            StockEvent::Sold { cart, count } => {
                if let Some(held) = self.reservations.remove(cart) {
                    self.sold += u64::from(*count);
                    self.free += u64::from(held.count.saturating_sub(*count));
                }
            }
            StockEvent::Released { cart } => {
                if let Some(held) = self.reservations.remove(cart) {
                    self.free += u64::from(held.count);
                }
            }
            StockEvent::Kept { cart } => {
                if let Some(held) = self.reservations.get_mut(cart) {
                    held.since = now;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(events: &[StockEvent]) -> Pieces {
        let mut pieces = Pieces::default();
        events.iter().for_each(|event| pieces.apply(Timestamp::from_micros(7), event));
        pieces
    }

    fn reserved(cart: &str, count: u32) -> StockEvent {
        StockEvent::Reserved { cart: cart.to_owned(), count }
    }

    #[test]
    fn a_cart_gets_free_pieces_only_and_the_same_answer_again() {
        let pieces = after(&[StockEvent::Put(5), reserved("a", 3)]);
        assert_eq!(pieces.reserve("a", 3), Reserved::All(1));
        assert_eq!(pieces.reserve("a", 5), Reserved::All(1));
        assert_eq!(pieces.reserve("a", 6), Reserved::Only(5));
        assert_eq!(pieces.reserve("b", 2), Reserved::All(2));
        assert_eq!(pieces.reserve("b", 3), Reserved::Only(2));
    }

    #[test]
    fn an_end_of_a_reservation_counts_once_and_frees_what_was_too_much() {
        let cart = "a".to_owned();
        let sold = StockEvent::Sold { cart: cart.clone(), count: 2 };
        let pieces = after(&[StockEvent::Put(5), reserved("a", 3), sold.clone(), sold]);
        assert_eq!(pieces.levels(), Levels { free: 3, reserved: 0, sold: 2 });
        let released = StockEvent::Released { cart };
        let pieces = after(&[StockEvent::Put(5), reserved("a", 3), released.clone(), released]);
        assert_eq!(pieces.levels(), Levels { free: 5, reserved: 0, sold: 0 });
        assert_eq!(pieces.reserve("a", 1), Reserved::All(2), "never the same number again");
        assert_eq!(pieces.numbered("a", 1), None);
    }

    #[test]
    fn the_carts_of_a_stock_are_bounded() {
        let mut events = vec![StockEvent::Put(u32::MAX)];
        events.extend((0..RESERVATIONS_MAX).map(|number| reserved(&format!("c-{number}"), 1)));
        assert_eq!(after(&events).reserve("another", 1), Reserved::Full);
        assert!(matches!(after(&events).reserve("c-1", 2), Reserved::All(_)));
    }
}
