//! Code that several tests share.

pub mod files;
pub mod history;
pub mod journals;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The path of the `antiphon` binary, built once for all tests of a run; `NODE_BINARY=path` names
/// an existing binary.
///
/// # Panics
/// Panics when the binary cannot be built.
pub fn antiphon_binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(build).clone()
}

fn build() -> PathBuf {
    if let Some(path) = std::env::var_os("NODE_BINARY") {
        return PathBuf::from(path);
    }
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--locked", "-p", "antiphon-node", "--bin", "antiphon"]);
    command.args(["--features", "cassandra"]);
    command.args(["--message-format", "json"]);
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "antiphon")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.expect("cargo names the binary")
}
