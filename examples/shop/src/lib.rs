//! The entities of a shop: carts, stock and tickets.

mod allotment;
mod cart;
pub mod checkout;
mod contents;
mod home;
mod pieces;
mod settings;
mod stock;
mod tickets;

pub use allotment::{Allotment, Tally, TicketsEvent};
pub use cart::{Cart, CartCommand, NotSold};
pub use contents::{CartEvent, Contents, Hold, Stage};
pub use home::home;
pub use pieces::{Levels, Pieces, RESERVATIONS_MAX, Reservation, Reserved, StockEvent};
pub use settings::ShopSettings;
pub use stock::{Stock, StockCommand};
pub use tickets::{BUYER_BYTES_MAX, Tickets, TicketsCommand};
