//! The state of a cart, and the events that make it.

use std::collections::BTreeMap;

use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// The life of a cart: open, and then sold or expired for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The cart takes items.
    #[default]
    Open,
    /// The cart is an order.
    Sold,
    /// The cart was left, and has given its pieces back.
    Expired,
}

/// The items of a cart, with their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The number of each item.
    pub items: BTreeMap<String, u32>,
    /// The stage of the cart.
    pub stage: Stage,
    /// The price of the order, in cents; zero before it is sold.
    pub cents: u64,
    /// By item, the number of the reservation with which it was sold.
    pub reservations: BTreeMap<String, u64>,
}

/// The events of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CartEvent {
    /// Items were chosen; their pieces are being reserved.
    Added {
        /// The kind of item.
        item: String,
        /// Their number.
        count: u32,
    },
    /// There were not enough pieces, so the items are not in the cart.
    Removed {
        /// The kind of item.
        item: String,
        /// Their number.
        count: u32,
    },
    /// The customer wanted to pay. Stored by earlier versions, before the stocks were asked.
    CheckoutBegun,
    /// The cart is an order: the stocks have all of its pieces, and give them to nobody else.
    Sold {
        /// The price, in cents.
        cents: u64,
        /// By item, the number of its reservation.
        reservations: BTreeMap<String, u64>,
    },
    /// The cart was left.
    Expired,
}

/// The answer of a cart about a reservation of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// The cart is open: the reservation goes on.
    Waits,
    /// The cart was sold with this reservation, and with so many pieces.
    Sold(u32),
    /// The cart will never need the reservation.
    Gone,
}

impl Contents {
    /// The number of all items.
    pub fn count(&self) -> u32 {
        self.items.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The answer about a reservation. An answer other than [`Hold::Waits`] is final.
    pub fn hold(&self, item: &str, number: u64) -> Hold {
        match (self.stage, self.reservations.get(item)) {
            (Stage::Open, _) => Hold::Waits,
            (Stage::Sold, Some(sold)) if *sold == number => {
                Hold::Sold(self.items.get(item).copied().unwrap_or(0))
            }
            (Stage::Sold | Stage::Expired, _) => Hold::Gone,
        }
    }

    /// The price of all items in cents, by these prices; an item without a price is free.
    ///
    /// # Errors
    /// `Rejected` when the sum is beyond `u64`.
    pub fn price(&self, prices: &BTreeMap<String, u64>) -> Result<u64> {
        self.items.iter().try_fold(0_u64, |cents, (item, count)| {
            let price = prices.get(item).copied().unwrap_or(0);
            let sum = price.checked_mul((*count).into()).and_then(|price| cents.checked_add(price));
            sum.ok_or_else(|| {
                Error::rejected(format!("the price of `{item}` in this number is beyond all money"))
            })
        })
    }

    /// Applies an event.
    pub fn apply(&mut self, event: &CartEvent) {
        match event {
            CartEvent::Added { item, count } => {
                let number = self.items.entry(item.clone()).or_default();
                *number = number.saturating_add(*count);
            }
            CartEvent::Removed { item, count } => {
                let number = self.items.get(item).copied().unwrap_or(0).saturating_sub(*count);
                if number == 0 {
                    self.items.remove(item);
                } else {
                    self.items.insert(item.clone(), number);
                }
            }
            CartEvent::CheckoutBegun => {}
            CartEvent::Sold { cents, reservations } => {
                self.stage = Stage::Sold;
                (self.cents, self.reservations) = (*cents, reservations.clone());
            }
            CartEvent::Expired => self.stage = Stage::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cart(events: &[CartEvent]) -> Contents {
        let mut cart = Contents::default();
        events.iter().for_each(|event| cart.apply(event));
        cart
    }

    fn added(item: &str, count: u32) -> CartEvent {
        CartEvent::Added { item: item.to_owned(), count }
    }

    #[test]
    fn a_cart_needs_a_reservation_until_it_is_sold_with_another_one_or_expires() {
        let open = [added("pen", 2)];
        assert_eq!(cart(&open).hold("pen", 4), Hold::Waits);
        let sold = CartEvent::Sold { cents: 5, reservations: [("pen".to_owned(), 4)].into() };
        let sold = cart(&[&open[..], &[sold]].concat());
        assert_eq!([4, 5].map(|number| sold.hold("pen", number)), [Hold::Sold(2), Hold::Gone]);
        assert_eq!(sold.hold("ink", 4), Hold::Gone);
        let expired = cart(&[&open[..], &[CartEvent::Expired]].concat());
        assert_eq!(expired.hold("pen", 4), Hold::Gone);
    }

    #[test]
    fn items_that_are_not_there_leave_the_cart_and_the_price() {
        let prices = BTreeMap::from([("pen".to_owned(), 120), ("gold".to_owned(), u64::MAX)]);
        let removed = CartEvent::Removed { item: "pen".to_owned(), count: 2 };
        let left = cart(&[added("pen", 1), added("pen", 2), removed.clone()]);
        assert_eq!((left.count(), left.price(&prices).unwrap()), (1, 120));
        assert!(cart(&[added("pen", 2), removed]).items.is_empty());
        assert!(cart(&[added("gold", 2)]).price(&prices).is_err());
    }
}
