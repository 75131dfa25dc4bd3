//! The operator's HTTP interface: health, metrics, and the cluster as this node sees it; and the
//! guard before it, which also guards the routes that an application adds.

mod access;
mod allowance;
mod answers;
mod application;
mod audit;
mod bodies;
mod book;
mod check;
mod connections;
mod counts;
mod guard;
mod peer;
mod protection;
mod reply;
mod server;
mod settings;
mod timely;
mod tls;
mod turns;

pub use access::{
    Caller, EntityAccess, Register, Right, Rights, TokenEntry, TokenHash, check_name, new_token,
};
pub use audit::{AuditFault, AuditSettings};
pub use reply::MayHaveActed;
pub use server::{AdminListener, AdminServer, ClusterSection};
pub use settings::HttpSettings;
pub use tls::{HttpTls, HttpsClient};

#[cfg(test)]
mod tests;
