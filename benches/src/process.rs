//! Processes of a benchmark: this one, and children of it, which are this program again.
//!
//! The first argument of a child names its role ([`crate::cases::child`]). A child ends when its
//! standard input is closed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// A runtime with the settings of the node binary.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A running child; the drop of this value kills it.
pub(crate) struct Spawned {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Spawned {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, lines }
    }

    /// The next line that the child prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line of the child");
        line.trim().to_owned()
    }

    /// The child's resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> f64 {
        resident_kib(&self.child.id().to_string())
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The resident memory of a process, `self` for this one, in KiB.
pub(crate) fn resident_kib(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}

/// Waits for the end of the standard input.
pub(crate) async fn until_stdin_ends() {
    let waiting = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut bytes);
    });
    let _ = waiting.await;
}
