//! The replicator's program: see [`antiphon_replicator::cli`].

use std::process::ExitCode;

use antiphon_replicator::cli::{Arguments, execute};
use clap::Parser;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("antiphon-replicator: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(execute(arguments)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("antiphon-replicator: {error}");
            ExitCode::FAILURE
        }
    }
}
