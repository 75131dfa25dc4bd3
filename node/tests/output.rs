//! The commands, as processes, when their output cannot be written.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A place that takes no byte, as a full disk.
fn full() -> File {
    File::options().write(true).open("/dev/full").expect("a device")
}

fn config(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("node.toml");
    let text = "journal = 'a.db'\nbind = '127.0.0.1:0'\nhttp_bind = '127.0.0.1:0'\n[node]\nname = 'n'\nplace = 'DC-A'\n[node.shutdown_timeouts]\nannounce = '0s'\n";
    std::fs::write(&path, text).expect("written");
    path
}

fn antiphon(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon"));
    command.args(arguments).arg("--config").arg(config(folder)).current_dir(folder.path());
    command
}

#[test]
fn a_node_whose_output_nobody_takes_logs_it_and_works_on() {
    let folder = TempDir::new().expect("a folder");
    let mut node = antiphon(&folder, &["node", "--exit-with-stdin"])
        .stdin(Stdio::piped())
        .stdout(full())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut log = BufReader::new(node.stderr.take().expect("a pipe")).lines();
    let told = |line: &String| line.contains("takes nothing") && line.contains("address");
    let line = log.by_ref().map_while(Result::ok).find(told);
    assert!(line.is_some_and(|line| line.contains("No space left")), "the node ended");

    drop(node.stdin.take());
    log.for_each(drop);
    assert!(node.wait().expect("it ends").success());
}

#[test]
fn a_node_that_can_write_nothing_at_all_works_on() {
    let folder = TempDir::new().expect("a folder");
    let status = antiphon(&folder, &["node", "--exit-with-stdin"])
        .stdin(Stdio::null())
        .stdout(full())
        .stderr(full())
        .status()
        .expect("the binary runs");
    assert!(status.success(), "{status}");
}

#[test]
fn a_command_whose_reader_ended_ends_quietly_and_one_on_a_full_disk_says_so() {
    let folder = TempDir::new().expect("a folder");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = antiphon(&folder, &["check"]).stdout(writer).output().expect("the binary runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");

    let output = antiphon(&folder, &["check"]).stdout(full()).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: the standard output cannot be written"), "{error}");
}
