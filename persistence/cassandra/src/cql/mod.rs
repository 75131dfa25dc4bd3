//! The [tables](crate::tables) on a server, over the `scylla` driver.

mod answers;
mod cell_tables;
mod counts;
mod error;
mod execute;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod log_tables;
mod numbers;
mod probe;
mod refusal;
mod reminder_tables;
mod schema;
mod session;
mod sessions;
mod settings;
mod statements;
mod stream_tables;
mod tables;
#[cfg(feature = "tls")]
mod tls;
mod traces;

pub use execute::CqlTables;
pub use schema::{Applied, Schema, apply, show};
pub use settings::{Auth, Replication, ServerSettings, Tls};
