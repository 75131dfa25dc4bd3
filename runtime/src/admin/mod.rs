//! The operator's HTTP interface: health, metrics, and what the cluster looks like from this node.

mod answers;
mod server;

pub use server::{AdminListener, AdminServer, ClusterSection};
