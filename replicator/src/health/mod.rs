//! The health of the replicator, in a form that a machine can act on.
//!
//! Each subscription has a [`Monitor`], which receives everything that happens and keeps the
//! metrics, the log lines and the [`Progress`]. The [`Board`] has all monitors; the HTTP interface
//! shows it:
//!
//! - `/health/live`: 200 until every subscription has ended, then 503 and the reasons;
//! - `/health/ready`: 200 while every subscription is connected on both sides and makes progress,
//!   else 503 and the reasons;
//! - `/health`: both verdicts, and the events that wait or are parked, with the oldest;
//! - `/status`: everything, for `antiphon-replicator status`;
//! - Ditto's `/metrics/`.

mod attention;
mod board;
mod monitor;
mod progress;
mod server;
mod subscription;
#[cfg(test)]
mod tests;

pub use board::Board;
pub use monitor::Monitor;
pub use progress::{Progress, Status, Watch};
pub use server::HealthServer;
pub use subscription::Subscription;
