//! The messages and services of the wire, generated from `proto/`.
//!
//! Users of the client do not need them. A server of the same protocol does (feature `server`).

#![allow(missing_docs, unreachable_pub, reason = "generated; the .proto files have the docs")]
#![allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
#![allow(unused_qualifications, clippy::too_many_lines, reason = "generated")]

tonic::include_proto!("event_store.client");

/// Reads, catch-up subscriptions and writes.
pub mod streams {
    tonic::include_proto!("event_store.client.streams");
}

/// Persistent subscriptions.
pub mod persistent_subscriptions {
    tonic::include_proto!("event_store.client.persistent_subscriptions");
}

/// The members of a cluster.
pub mod gossip {
    tonic::include_proto!("event_store.client.gossip");
}

/// The features of a server.
pub mod server_features {
    tonic::include_proto!("event_store.client.server_features");
}
