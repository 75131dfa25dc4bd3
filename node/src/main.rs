//! The `antiphon` binary: the command line with the kinds of stores that come with Antiphon.

use std::process::ExitCode;

fn main() -> ExitCode {
    antiphon_node::command_line::run(antiphon::stores())
}
