//! The benchmarks by name, and the child processes of some of them.

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

/// A benchmark: measures, and adds its figures to the report.
pub(crate) type Case = fn(&mut Report);

/// All benchmarks, in the order in which they run.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("appends", appends::run),
    ("hot-entity", hot_entity::run),
    ("asks", asks::run),
    ("replication", replication::run),
    ("catch-up", catch_up::run),
    ("idle", idle::run),
    ("start", start::run),
];

/// The benchmarks on a Cassandra server, which run only when asked for (`make bench-cassandra`).
pub(crate) const CASSANDRA: &[(&str, Case)] = &[
    ("cassandra-appends", cassandra::appends),
    ("cassandra-hot-entity", cassandra::hot),
    ("cassandra-replay", cassandra::replay),
    ("cassandra-catch-up", cassandra::catch_up),
    ("cassandra-loop", cassandra::journal_loop),
    ("cassandra-idle", cassandra::idle),
];
