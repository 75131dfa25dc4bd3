//! The `antiphon` command line with one more kind of store, `log`: for the `journal` of a
//! configuration, and for `demo --journal log`.

use std::process::ExitCode;

fn main() -> ExitCode {
    antiphon_node::examples(antiphon::stores().with(antiphon_own_store::LogKind)).run()
}
