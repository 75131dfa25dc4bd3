//! Child processes: this program again, with a first argument that names its role. A child ends
//! when its standard input is closed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio};

use super::{cassandra, idle, replication, runtime, start};
use crate::baseline::tcp_echo;

/// The outcome, when this process was started as the child of a benchmark.
pub(crate) fn child(arguments: &[String]) -> Option<ExitCode> {
    let text = |index: usize| arguments.get(index).map_or("", String::as_str);
    match text(0) {
        "child-echo" => tcp_echo::serve(),
        "child-node" => runtime().block_on(replication::serve(text(1), text(2))),
        "child-start-peer" => runtime().block_on(start::serve_peer(text(1))),
        "child-start" => runtime().block_on(start::serve(text(1))),
        "child-cassandra" => runtime().block_on(cassandra::serve(text(1))),
        "child-idle" => runtime().block_on(idle::serve(text(1), text(2).parse().unwrap_or(0))),
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
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
