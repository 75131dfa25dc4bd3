//! The cost of idle entities: memory, beside a bare ractor actor; and reads of the stores.

use std::sync::Arc;
use std::time::Duration;

use antiphon::LocalPlace;
use antiphon::prelude::*;
use antiphon_base::task;
use antiphon_counter::{Command, provider};

use super::entities::replica;
use crate::baseline::ractor_call;
use crate::process::{Spawned, resident_kib, until_stdin_ends};
use crate::report::Report;
use crate::stats::Runs;

const RUNS: usize = 3;
const COUNT: usize = 10_000;
const WATCHED: Duration = Duration::from_secs(20);

pub(crate) fn run(report: &mut Report) {
    let memory = |what: &str| Spawned::new(&["child-idle", what, &COUNT.to_string()]).line();
    let number = |text: String| text.parse::<f64>().expect("a number of the child");
    let entities = Runs::of(RUNS, || number(memory("entities")));
    let bare = Runs::of(RUNS, || number(memory("actors")));
    report.compare("idle", "resident, each", "KiB", &entities, ("bare ractor actor", &bare));

    let reads =
        |count: usize| number(Spawned::new(&["child-idle", "reads", &count.to_string()]).line());
    let (many, few) = (Runs::of(1, || reads(COUNT)), Runs::of(1, || reads(10)));
    let case = format!("journal loop reads, {COUNT} entities");
    report.compare("idle", case, "reads/s", &many, ("10 entities", &few));
}

/// Prints KiB for each entity or actor, or reads per second, and waits.
pub(crate) async fn serve(what: &str, count: usize) {
    match what {
        "actors" => {
            let before = resident_kib("self");
            let actors = ractor_call::idle(count).await;
            print_each(before, count);
            until_stdin_ends().await;
            drop(actors);
        }
        "entities" => {
            let [place, _] = LocalPlace::connected(["A", "B"]);
            let node = place.start("node").await.expect("a node");
            let before = resident_kib("self");
            let _counters = start(&node, count).await;
            print_each(before, count);
            until_stdin_ends().await;
        }
        _ => {
            let [place, other] = LocalPlace::connected(["A", "B"]);
            let node = place.start("node").await.expect("a node");
            let other = other.start("other").await.expect("a node");
            let replicas = vec![replica("A"), replica("B")];
            let _other =
                ReplicatedSharding::init(&other, provider(replicas)).await.expect("a type");
            let _counters = start(&node, count).await;
            // wait until the loops have seen the writes and are at their longest interval
            tokio::time::sleep(Duration::from_secs(75)).await;
            let before = reads(&node);
            tokio::time::sleep(WATCHED).await;
            println!("{}", (reads(&node) - before) / WATCHED.as_secs_f64());
            until_stdin_ends().await;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
fn print_each(before: f64, count: usize) {
    println!("{}", (resident_kib("self") - before) / count as f64);
}

async fn start(node: &Node, count: usize) -> ReplicatedSharding<antiphon_counter::Counter> {
    let replicas = vec![replica("A"), replica("B")];
    let counters = ReplicatedSharding::init(node, provider(replicas)).await.expect("a type");
    let counters = Arc::new(counters);
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let counters = counters.clone();
            task::spawn("client", async move {
                for number in (client..count).step_by(8) {
                    let id = format!("c-{number}");
                    let counter = counters.entity_ref_for(id, &replica("A")).expect("a reference");
                    let ask = |reply_to| Command::Add { delta: 1, reply_to };
                    counter.ask(ask).await.expect("an answer");
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client");
    }
    Arc::into_inner(counters).expect("the clients are done")
}

fn reads(node: &Node) -> f64 {
    let text = node.metrics().text();
    let lines = text.lines().filter(|line| line.starts_with("antiphon_journal_loop_reads_total"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
