//! The [tables](crate::tables) on a server, over the `scylla` driver.

mod answers;
mod error;
mod execute;
mod schema;
mod session;
mod settings;
mod statements;
mod tables;

pub use execute::CqlTables;
pub use schema::{Schema, apply, show};
pub use settings::{Auth, Replication, ServerSettings, Tls};
