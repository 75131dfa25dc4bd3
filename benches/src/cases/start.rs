//! The time from the start of a process to its first acknowledged command, durable; and its
//! resident memory then.

use std::path::Path;

use antiphon::prelude::*;
use antiphon_counter::{Command, provider};

use super::entities::{node, replica};
use crate::process::{Spawned, until_stdin_ends};
use crate::report::Report;
use crate::stats::{Runs, Stopwatch};

const RUNS: usize = 7;

pub(crate) fn run(report: &mut Report) {
    let (mut seconds, mut memory) = (Runs::default(), Runs::default());
    for _ in 0..RUNS {
        let folder = tempfile::tempdir_in("target").expect("a writable folder");
        let path = folder.path().to_str().expect("a path in UTF-8");
        // without a journal of the peer, the place would take no command (docs/restore.md)
        let mut peer = Spawned::new(&["child-start-peer", path]);
        assert_eq!(peer.line(), "started");
        drop(peer);
        let watch = Stopwatch::start();
        let mut child = Spawned::new(&["child-start", path]);
        assert_eq!(child.line(), "acknowledged");
        seconds.push(watch.elapsed().as_secs_f64());
        memory.push(child.resident_kib() / 1024.0);
    }
    report.plain("start", "to the first acknowledged command", "s", &seconds);
    report.plain("start", "resident memory of the node", "MiB", &memory);
}

/// A node of the other place, which makes that place's journal.
pub(crate) async fn serve_peer(folder: &str) {
    let _node = node(Path::new(folder), "B", "A").await;
    println!("started");
    until_stdin_ends().await;
}

/// A node that acknowledges one command.
pub(crate) async fn serve(folder: &str) {
    let node = node(Path::new(folder), "A", "B").await.node;
    let replicas = vec![replica("A"), replica("B")];
    let counters = ReplicatedSharding::init(&node, provider(replicas)).await.expect("a type");
    let counter = counters.entity_ref_for("c-1", &replica("A")).expect("a reference");
    let value = counter.ask(|reply_to| Command::Add { delta: 1, reply_to }).await;
    assert_eq!(value, Ok(1));
    println!("acknowledged");
    until_stdin_ends().await;
}
