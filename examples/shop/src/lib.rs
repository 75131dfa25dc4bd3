//! The entities of a shop: carts and stock.

mod cart;
pub mod checkout;
mod contents;
mod home;
mod pieces;
mod settings;
mod stock;

pub use cart::{Cart, CartCommand, NotSold};
pub use contents::{CartEvent, Contents, Hold, Stage};
pub use home::home;
pub use pieces::{Levels, Pieces, RESERVATIONS_MAX, Reservation, Reserved, StockEvent};
pub use settings::ShopSettings;
pub use stock::{Stock, StockCommand};
