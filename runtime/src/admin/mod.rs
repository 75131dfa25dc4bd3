//! The operator's HTTP interface: health, metrics, and the cluster as this node sees it.

mod answers;
mod connections;
mod protection;
mod server;
mod settings;

pub use server::{AdminListener, AdminServer, ClusterSection};
pub use settings::HttpSettings;
