//! The references of the figures: the least work that any implementation must do.

pub(crate) mod cassandra;
pub(crate) mod file;
pub(crate) mod ractor_call;
pub(crate) mod sqlite;
pub(crate) mod tcp_echo;
