//! The benchmarks by name, and what the child processes of some of them run.

mod appends;

use std::process::ExitCode;

use crate::report::Report;

/// Measures one thing and reports it.
pub(crate) type Case = fn(&mut Report);

/// All of them, in the order in which they run.
pub(crate) const ALL: &[(&str, Case)] = &[("appends", appends::run)];

/// The outcome, when this process was started as the child of a benchmark.
pub(crate) fn child(_arguments: &[String]) -> Option<ExitCode> {
    None
}
