//! What the figures stand beside: the least that any implementation would have to do.

pub(crate) mod cassandra;
pub(crate) mod file;
pub(crate) mod ractor_call;
pub(crate) mod sqlite;
pub(crate) mod tcp_echo;
