//! Commands of the `antiphon` binary that must end by themselves.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use antiphon_tests::antiphon_binary;
use tempfile::TempDir;
use tokio::process::Command;

/// Longest time of a command.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Runs a command with a text as its configuration, in a folder of its own.
pub(crate) async fn run(arguments: &[&str], config: &str, variables: &[(&str, &str)]) -> Output {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("node.toml");
    std::fs::write(&path, config).expect("a writable folder");
    run_on(arguments, &path, variables).await
}

/// Runs a command with a configuration that is there, in the folder of the configuration.
pub(crate) async fn run_on(
    arguments: &[&str],
    config: &Path,
    variables: &[(&str, &str)],
) -> Output {
    let output = Command::new(antiphon_binary())
        .args(arguments)
        .arg("--config")
        .arg(config)
        .envs(variables.iter().copied())
        .current_dir(config.parent().expect("a folder"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(ENDS_WITHIN, output).await;
    output.expect("it ends by itself").expect("the binary runs")
}

/// The operator's word that a place goes on without what `peer` may have of it.
pub(crate) async fn accept_loss(config: &Path, peer: &str) -> Output {
    run_on(&["journal", "accept-loss", "--peer", peer, "--yes"], config, &[]).await
}

/// The error output of a command.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
