//! The cluster node and its command line.
//!
//! - [`accept_loss`]: the operator lets a place continue without the answer of another place.
//! - [`cert`]: certificates of links and of HTTP.
//! - [`token`]: tokens of HTTP clients.
//! - [`command_line`]: the commands of the binary.
//! - [`config`]: TOML and environment, with errors that name the key.
//! - [`run`]: one node, from its configuration to its end.
//! - [`http`]: entities as JSON; [`header`]: names in its headers.
//! - [`skip`]: events that an operator has skipped.
//! - [`client`]: a small HTTP client for the demo, the status command and tests.
//! - [`cluster`]: starts node processes on this machine.
//! - [`demo`]: the demo.
//! - [`verify`]: checks a journal for damage.
//! - `existing`: the journal for the commands of an operator, which make none.
//! - [`output`]: what the commands print; `whole_file`: files that they write.

pub mod accept_loss;
mod body;
pub mod cert;
pub mod client;
pub mod cluster;
pub mod command_line;
pub mod config;
pub mod demo;
mod descriptors;
mod existing;
pub mod fork;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod header;
pub mod http;
mod journal;
pub mod output;
pub mod run;
pub mod schema;
pub mod skip;
pub mod status;
pub mod token;
pub mod verify;
mod whole_file;
