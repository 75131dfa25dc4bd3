//! Typed references for programs outside a cluster: no journal, no shards, no links.
//!
//! ```no_run
//! use antiphon::client::Cluster;
//! use antiphon::prelude::*;
//! # use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! enum Command { Add { delta: i64, reply_to: ReplyTo<i64> } }
//!
//! # async fn example() -> Result<()> {
//! let cluster = Cluster::new(["a-1.example:8080", "a-2.example:8080"])?;
//! let counter = cluster.entity::<Command>("counter", "c-1")?;
//! let sum = counter.ask(|reply_to| Command::Add { delta: 1, reply_to }).await?;
//! # drop(sum);
//! # Ok(())
//! # }
//! ```
//!
//! The transport is the HTTP interface of the nodes (`/entities/..`), not the port of the links:
//! that port is for members alone, each with a certificate of a node, and its members are trusted.
//! A client has a token or a client certificate with the right `entities`, HTTPS, and its lines in
//! the audit log. The command goes in the encoding of the links, so that every command of a type
//! can be sent and not only those that have JSON; therefore a type takes such commands only where
//! `HttpEntity::takes_commands` says so.
//!
//! The encoding has no names of fields: program and nodes must have the same type of commands. A
//! command of another shape is refused, or read as another one where its bytes fit both: the nodes
//! do not tell the shapes of their commands, so nothing is compared. Add new variants at the end,
//! and upgrade the nodes first.
//!
//! A program needs the feature `client` of this crate only: `antiphon = { version = "..",
//! default-features = false, features = ["client"] }`.
//!
//! - `cluster`: the addresses, and the attempts of one command;
//! - `pool`: the connections to one node;
//! - `entity`: the typed reference;
//! - `access`: tokens and certificates; `failure`: the errors of asks as JSON.

mod access;
mod cluster;
mod entity;
pub(crate) mod failure;
mod pool;

pub use access::{Access, AccessArguments};
pub use cluster::Cluster;
pub use entity::EntityClient;
