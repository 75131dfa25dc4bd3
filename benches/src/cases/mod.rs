//! The benchmarks by name, and what the child processes of some of them run.

mod appends;
mod asks;
mod cassandra;
mod catch_up;
mod child;
mod entities;
mod hot_entity;
mod idle;
mod replication;
mod start;

pub(crate) use child::child;

use crate::report::Report;

/// Measures one thing and reports it.
pub(crate) type Case = fn(&mut Report);

/// All of them, in the order in which they run.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("appends", appends::run),
    ("hot-entity", hot_entity::run),
    ("asks", asks::run),
    ("replication", replication::run),
    ("catch-up", catch_up::run),
    ("idle", idle::run),
    ("start", start::run),
];

/// Those on a Cassandra, which run only when they are asked for (`make bench-cassandra`).
pub(crate) const CASSANDRA: &[(&str, Case)] = &[
    ("cassandra-appends", cassandra::appends),
    ("cassandra-hot-entity", cassandra::hot),
    ("cassandra-replay", cassandra::replay),
    ("cassandra-catch-up", cassandra::catch_up),
    ("cassandra-loop", cassandra::journal_loop),
    ("cassandra-idle", cassandra::idle),
];

/// A runtime as the node binary has one.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}
