//! The client with the test server: the promises of its calls, and their errors.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod append;
mod appender;
mod failures;
mod groups;
mod network;
mod read;
mod restart;
mod states;
mod subscribe;
mod support;
mod wire;
