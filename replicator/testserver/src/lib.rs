//! The test server: a library and a small binary.
//!
#![doc = include_str!("../README.md")]

mod accept;
mod faults;
mod group;
mod io;
mod node;
mod proxy;
mod refusal;
mod seed;
mod server;
mod service;
mod settings;
mod store;

pub use faults::Faults;
pub use proxy::Proxy;
pub use server::TestServer;
pub use settings::{ClusterMember, ServerSettings, TlsFiles};
