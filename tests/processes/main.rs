//! Real node processes on SQLite and on Cassandra: what happens when they are killed, frozen, restarted, or run out of disk.
//!
//! `KILL_ROUNDS=n` sets the number of kill -9 rounds (10 in `make check`).

mod database;
mod files;
mod history;
mod kill;
mod leaving;
mod refusals;
mod support;
