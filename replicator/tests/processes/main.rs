//! The replicator as a process, with event store servers and failures between them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod bad_input;
mod cassandra;
mod end_to_end;
mod kills;
mod lost;
mod server_process;
mod stores;
mod support;
