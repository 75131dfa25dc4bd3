//! The client against the test server: what its calls promise, and what they say when they fail.

mod append;
mod appender;
mod failures;
mod groups;
mod network;
mod read;
mod restart;
mod subscribe;
mod support;
