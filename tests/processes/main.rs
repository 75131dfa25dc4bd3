//! Real node processes on SQLite and on Cassandra: kills, freezes, restarts, and full disks.
//!
//! `KILL_ROUNDS=n` sets the number of kill -9 rounds (10 in `make check`).

mod access;
mod command;
mod database;
mod files;
mod forms;
mod history;
mod kill;
mod leaving;
mod refusals;
mod restore;
mod support;
