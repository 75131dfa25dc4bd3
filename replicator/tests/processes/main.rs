//! The replicator as a process, with event store servers and failures between them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod answers;
mod bad_input;
mod cassandra;
mod deletions;
mod end_to_end;
mod ends;
mod hidden;
mod kills;
mod logs;
mod lost;
mod model;
mod server_process;
mod stores;
mod support;
mod verify;
