//! The entities of a shop: carts and stock.

mod cart;
pub mod checkout;
mod settings;
mod stock;

pub use cart::{Cart, CartCommand, CartEvent, Contents};
pub use settings::ShopSettings;
pub use stock::{Pieces, Stock, StockCommand, StockEvent, Taken};
