//! The `antiphon` command line with one more kind of store: `journal = { kind = "log", path = ".." }`
//! in configurations, and `demo --journal log`.

use std::process::ExitCode;

fn main() -> ExitCode {
    antiphon_node::command_line::run(antiphon::stores().with(antiphon_own_store::LogKind))
}
