//! Whether the replicator works, said so that a machine can act on it.
//!
//! Each subscription has a [`Monitor`], which is told everything that happens and keeps the metrics, the log lines and the
//! [`Progress`]; the [`Board`] has them all and is what the HTTP interface shows:
//!
//! - `/health/live`: 200 while there is a subscription that has not ended;
//! - `/health/ready`: 200 while every subscription is connected on both sides and moves, else 503 and the reasons;
//! - `/status`: everything, for `antiphon-replicator status`;
//! - Ditto's `/metrics/`.

mod board;
mod monitor;
mod progress;
mod server;
#[cfg(test)]
mod tests;

pub use board::Board;
pub use monitor::{Monitor, Subscription};
pub use progress::{Progress, Status, Watch};
pub use server::HealthServer;
