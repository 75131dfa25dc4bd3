//! The settings of the shop: the table `shop` of a configuration.

use std::collections::BTreeMap;

use antiphon::app::Section;
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// The settings of the shop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShopSettings {
    /// Most items of one cart; from 1 to 10000.
    pub items_max: u32,
    /// The price of each item, in cents.
    pub prices: BTreeMap<String, u64>,
}

impl Default for ShopSettings {
    fn default() -> Self {
        Self { items_max: 100, prices: BTreeMap::new() }
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
        Ok(())
    }
}
