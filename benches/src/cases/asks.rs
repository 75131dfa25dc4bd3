//! Ask round trips through an entity reference, 64 in flight: to an entity on this node, and to an
//! entity in another process. Without persistence.

use std::sync::Arc;

use antiphon::LocalPlace;
use antiphon::prelude::*;
use antiphon_base::task;
use antiphon_counter::{Command, provider};

use super::entities::{certificates, node, replica};
use crate::baseline::{ractor_call, tcp_echo};
use crate::process::{Spawned, runtime};
use crate::report::Report;
use crate::stats::{Runs, Stopwatch};

const RUNS: usize = 5;
const IN_FLIGHT: usize = 64;

pub(crate) fn run(report: &mut Report) {
    let local = Runs::of(RUNS, || runtime().block_on(local(400_000)));
    let bare = Runs::of(RUNS, || {
        runtime().block_on(ractor_call::round_trips_per_second(400_000, IN_FLIGHT))
    });
    report.compare("asks", "local", "asks/s", &local, ("bare ractor call", &bare));

    let (mut plain_runs, mut tls_runs, mut echo_runs) =
        (Runs::default(), Runs::default(), Runs::default());
    let runtime = runtime();
    let (plain, tls) = (Remote::new(&runtime, false), Remote::new(&runtime, true));
    for _ in 0..RUNS {
        plain_runs.push(runtime.block_on(drive(&plain.counter, 200_000)));
        tls_runs.push(runtime.block_on(drive(&tls.counter, 200_000)));
        let mut echo = Spawned::new(&["child-echo"]);
        let address = echo.line();
        echo_runs.push(tcp_echo::round_trips_per_second(&address, 200_000, IN_FLIGHT));
    }
    report.compare("asks", "two processes", "asks/s", &plain_runs, ("bare TCP echo", &echo_runs));
    let without = ("without TLS", &plain_runs);
    report.compare("asks", "two processes, TLS", "asks/s", &tls_runs, without);
}

/// A node in a process of its own, and a reference to an entity there.
struct Remote {
    counter: EntityRef<Command>,
    _child: Spawned,
    _folder: tempfile::TempDir,
}

impl Remote {
    fn new(runtime: &tokio::runtime::Runtime, tls: bool) -> Self {
        let folder = tempfile::tempdir_in("target").expect("a writable folder");
        if tls {
            certificates(folder.path());
        }
        let path = folder.path().to_str().expect("a path in UTF-8").to_owned();
        let mut child = Spawned::new(&["child-node", &path, "quiet"]);
        assert_eq!(child.line(), "ready");
        let counter = runtime.block_on(remote_counter(&folder));
        Self { counter, _child: child, _folder: folder }
    }
}

async fn local(count: usize) -> f64 {
    let node = LocalPlace::new("A").start("node").await.expect("a node");
    let counters = ReplicatedSharding::init(&node, provider(vec![replica("A")])).await;
    let counters = counters.expect("a type");
    let counter = counters.entity_ref_for("c-1", &replica("A")).expect("a reference");
    drive(&counter, 1000).await;
    let rate = drive(&counter, count).await;
    node.crash();
    rate
}

/// Asks `count` times, for a profiler: `local`, or else the bare actor.
pub(crate) async fn serve(what: &str, count: usize) {
    let rate = match what {
        "local" => local(count).await,
        _ => ractor_call::round_trips_per_second(count, IN_FLIGHT).await,
    };
    println!("{rate}");
}

/// A reference to an entity of the child's place; the node here hosts no shard of that place.
async fn remote_counter(folder: &tempfile::TempDir) -> EntityRef<Command> {
    let node = node(folder.path(), "A", "B").await.node;
    let counters =
        ReplicatedSharding::init(&node, provider(vec![replica("A"), replica("B")])).await;
    let counter = counters.expect("a type").entity_ref_for("c-1", &replica("B"));
    let counter = counter.expect("a reference");
    while counter.ask(|reply_to| Command::Get { reply_to }).await.is_err() {}
    counter
}

pub(crate) async fn drive(counter: &EntityRef<Command>, count: usize) -> f64 {
    let counter = Arc::new(counter.clone());
    let watch = Stopwatch::start();
    let askers: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let counter = counter.clone();
            task::spawn("asker", async move {
                for _ in 0..count / IN_FLIGHT {
                    counter.ask(|reply_to| Command::Get { reply_to }).await.expect("an answer");
                }
            })
        })
        .collect();
    for asker in askers {
        asker.await.expect("an asker");
    }
    watch.rate(count)
}
