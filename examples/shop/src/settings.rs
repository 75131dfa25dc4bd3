//! The settings of the shop: the table `shop` of a configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon::app::Section;
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// The settings of the shop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShopSettings {
    /// Most items of one cart; from 1 to 10000.
    pub items_max: u32,
    /// Time after the last command of a customer at which a cart expires and gives its pieces back,
    /// and after which a stock asks the cart of a reservation; from one second to 30 days.
    #[serde(with = "antiphon::base::time::text")]
    pub expires_after: Duration,
    /// Longest time for which a sale of tickets waits for a gift of another place; from 10 ms to
    /// one minute.
    #[serde(with = "antiphon::base::time::text")]
    pub gifts_within: Duration,
    /// The price of each item, in cents.
    pub prices: BTreeMap<String, u64>,
}

impl Default for ShopSettings {
    fn default() -> Self {
        Self {
            items_max: 100,
            expires_after: Duration::from_secs(15 * 60),
            gifts_within: Duration::from_secs(1),
            prices: BTreeMap::new(),
        }
    }
}

impl Section for ShopSettings {
    fn validate(&self) -> Result<()> {
        if !(1..=10_000).contains(&self.items_max) {
            return Err(Error::rejected(format!(
                "`items_max`: expected 1 to 10000, actual {}",
                self.items_max
            )));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600))
            .contains(&self.expires_after)
        {
            return Err(Error::rejected(format!(
                "`expires_after`: expected 1s to 30 days, actual {:?}",
                self.expires_after
            )));
        }
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&self.gifts_within) {
            return Err(Error::rejected(format!(
                "`gifts_within`: expected 10ms to 1 min, actual {:?}",
                self.gifts_within
            )));
        }
        Ok(())
    }
}
