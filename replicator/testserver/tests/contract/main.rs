//! The client against the test server: what its calls promise, and what they say when they fail.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod append;
mod appender;
mod failures;
mod groups;
mod network;
mod read;
mod restart;
mod subscribe;
mod support;
