//! The `antiphon` binary: the example entities with the kinds of stores that come with Antiphon.

use std::process::ExitCode;

fn main() -> ExitCode {
    antiphon_node::examples(antiphon::stores()).run()
}
