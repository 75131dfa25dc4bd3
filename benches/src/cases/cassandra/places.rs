//! Two places on one server: replication by the journal loop only, and the load of idle entities on
//! the server.

use std::sync::Arc;
use std::time::Duration;

use antiphon::prelude::*;
use antiphon::{Embedded, Journal, OpenJournal};
use antiphon_base::task;
use antiphon_counter::{Command, Counter, provider};

use super::super::entities::{node_on, replica};
use super::{new_place, settings};
use crate::process::runtime;
use crate::report::Report;
use crate::stats::{Runs, Stopwatch};

const COUNTERS: usize = 50;
const ROUNDS: usize = 8;
const WATCHED: Duration = Duration::from_secs(20);

/// A node of each of two places.
async fn two_nodes() -> [Embedded; 2] {
    let run = new_place();
    let of = async |place: &str| settings(&format!("{run}/{place}")).await;
    let (a, b) = (of("A").await, of("B").await);
    let journal =
        move |place: &str| Journal::cassandra(if place == "A" { a.clone() } else { b.clone() });
    [node_on(&journal, "A", "B").await, node_on(&journal, "B", "A").await]
}

fn replicas() -> Vec<ReplicaId> {
    vec![replica("A"), replica("B")]
}

/// Time from the acknowledgement of an event at B until it is seen at A, with the direct path off.
pub(crate) fn journal_loop(report: &mut Report) {
    let mut delays = runtime().block_on(async {
        let [a, b] = two_nodes().await;
        let settings =
            ShardingSettings { direct_replication: false, ..ShardingSettings::default() };
        let start = async |node: &Embedded| {
            let provider = provider(replicas()).with_settings(settings.clone());
            ReplicatedSharding::init(&node.node, provider).await.expect("a type")
        };
        let (at_a, at_b) = (start(&a).await, start(&b).await);
        let asked: Vec<_> = (0..COUNTERS)
            .map(|number| task::spawn("delays", delays(at_a.clone(), at_b.clone(), number)))
            .collect();
        let mut all = Vec::new();
        for delays in asked {
            all.extend(delays.await.expect("delays"));
        }
        all
    });
    delays.sort_by(f64::total_cmp);
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let index = ((delays.len() - 1) as f64 * share) as usize;
        let value = Runs::of(1, || delays[index]);
        report.plain("cassandra-loop", format!("{name}, interval 3 s"), "s", &value);
    }
}

async fn delays(
    at_a: ReplicatedSharding<Counter>,
    at_b: ReplicatedSharding<Counter>,
    number: usize,
) -> Vec<f64> {
    let id = format!("c-{number}");
    let here = at_a.entity_ref_for(&id, &replica("A")).expect("a reference");
    let there = at_b.entity_ref_for(&id, &replica("B")).expect("a reference");
    let mut delays = Vec::new();
    // the first round starts the entities and the loops
    for round in 0..=ROUNDS {
        let ask = |reply_to| Command::Add { delta: 1, reply_to };
        let Ok(value) = there.ask(ask).await else { continue };
        let watch = Stopwatch::start();
        while here.ask(|reply_to| Command::Get { reply_to }).await != Ok(value) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if round > 0 {
            delays.push(watch.elapsed().as_secs_f64());
        }
        // the entities must not all be at the same point of the loop's interval
        tokio::time::sleep(Duration::from_millis(37 * (number as u64 % 20))).await;
    }
    delays
}

/// Statements that a node sends while all its entities are idle.
pub(crate) fn idle(report: &mut Report) {
    let measure = |count| Runs::of(1, || runtime().block_on(statements_per_second(count)));
    let (many, few) = (measure(10_000), measure(10));
    let case = "10,000 entities at two replicas, a node";
    report.compare("cassandra-idle", case, "statements/s", &many, ("10 entities", &few));
}

async fn statements_per_second(count: usize) -> f64 {
    let [a, b] = two_nodes().await;
    let at_a = ReplicatedSharding::init(&a.node, provider(replicas())).await.expect("a type");
    let _at_b = ReplicatedSharding::init(&b.node, provider(replicas())).await.expect("a type");
    let at_a = Arc::new(at_a);
    let clients: Vec<_> = (0..64)
        .map(|client| {
            let counters = at_a.clone();
            task::spawn("client", async move {
                for number in (client..count).step_by(64) {
                    let id = format!("c-{number}");
                    let counter = counters.entity_ref_for(id, &replica("A")).expect("a reference");
                    let ask = |reply_to| Command::Add { delta: 1, reply_to };
                    // a place takes no command before it has read the journal of the other one
                    while counter.ask(ask).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client");
    }
    // wait until the loops have seen the writes and are at their longest interval
    tokio::time::sleep(Duration::from_secs(75)).await;
    let sent = |node: &Embedded| -> u64 {
        let peers = node.peers.iter().filter_map(antiphon::Peer::journal);
        let journals = peers.chain([&node.journal]).map(OpenJournal::statements);
        journals.flatten().map(|of| of.sent).sum()
    };
    let (before, watch) = (sent(&a), Stopwatch::start());
    tokio::time::sleep(WATCHED).await;
    watch.rate(usize::try_from(sent(&a) - before).expect("a small number"))
}
