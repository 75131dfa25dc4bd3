//! The roles of child processes, by the first argument of this program.

use std::process::ExitCode;

use super::{asks, cassandra, idle, replication, start};
use crate::baseline::tcp_echo;
use crate::process::runtime;

/// The outcome, when this process was started as the child of a benchmark.
pub(crate) fn child(arguments: &[String]) -> Option<ExitCode> {
    let text = |index: usize| arguments.get(index).map_or("", String::as_str);
    match text(0) {
        "child-echo" => tcp_echo::serve(),
        "child-node" => runtime().block_on(replication::serve(text(1), text(2))),
        "child-start-peer" => runtime().block_on(start::serve_peer(text(1))),
        "child-start" => runtime().block_on(start::serve(text(1))),
        "child-cassandra" => runtime().block_on(cassandra::serve(text(1))),
        "child-asks" => runtime().block_on(asks::serve(text(1), text(2).parse().unwrap_or(0))),
        "child-idle" => runtime().block_on(idle::serve(text(1), text(2).parse().unwrap_or(0))),
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}
