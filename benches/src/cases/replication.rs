//! Replication between two processes on loopback: the time until an event of the other place is
//! durable here, and the share of events that arrive directly.

use std::path::Path;
use std::time::Duration;

use antiphon::prelude::*;
use antiphon::runtime::Metrics;
use antiphon_base::task;
use antiphon_counter::{Command, Counter, provider};

use super::entities::{node, replica};
use crate::process::{Spawned, runtime, until_stdin_ends};
use crate::report::Report;
use crate::stats::Runs;

const SECONDS: u64 = 8;
const RATE: u64 = 500;

pub(crate) fn run(report: &mut Report) {
    for (case, interleaved) in [("one side", false), ("both sides", true)] {
        let folder = tempfile::tempdir_in("target").expect("a writable folder");
        let path = folder.path().to_str().expect("a path in UTF-8").to_owned();
        let mut child = Spawned::new(&["child-node", &path, "quiet"]);
        assert_eq!(child.line(), "ready");
        let measured = runtime().block_on(measure(folder.path(), interleaved));
        let name = |what: &str| format!("{case}: {what}, {RATE} writes/s a side");
        report.plain("replication", name("p50"), "ms <=", &one(measured.p50));
        report.plain("replication", name("p99"), "ms <=", &one(measured.p99));
        report.plain("replication", name("direct"), "%", &one(measured.direct_percent));
    }
}

fn one(value: f64) -> Runs {
    let mut runs = Runs::default();
    runs.push(value);
    runs
}

struct Measured {
    p50: f64,
    p99: f64,
    direct_percent: f64,
}

/// A node of place B, until its standard input ends.
pub(crate) async fn serve(folder: &str, _mode: &str) {
    let node = node(Path::new(folder), "B", "A").await.node;
    let replicas = vec![replica("A"), replica("B")];
    let _counters = ReplicatedSharding::init(&node, provider(replicas)).await.expect("a type");
    println!("ready");
    until_stdin_ends().await;
}

async fn measure(folder: &Path, interleaved: bool) -> Measured {
    let node = node(folder, "A", "B").await.node;
    let replicas = vec![replica("A"), replica("B")];
    let counters = ReplicatedSharding::init(&node, provider(replicas)).await.expect("a type");
    // 50 counters; B writes all the time; A writes too when interleaved
    let ids: Vec<String> = (0..50).map(|number| format!("c-{number}")).collect();
    for id in &ids {
        for counter in counters.entity_refs_for(id).expect("references").values() {
            while counter.ask(|reply_to| Command::Add { delta: 1, reply_to }).await.is_err() {}
        }
    }
    settled(&counters, &ids).await;
    let before = counts(&counters, node.metrics());
    let mut writers = vec![task::spawn("writer", write(counters.clone(), ids.clone(), "B"))];
    if interleaved {
        writers.push(task::spawn("writer", write(counters.clone(), ids.clone(), "A")));
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    settled(&counters, &ids).await;
    let after = counts(&counters, node.metrics());
    let buckets: Vec<(f64, f64)> =
        after.2.iter().zip(&before.2).map(|((le, a), (_, b))| (*le, a - b)).collect();
    let (direct, pulled) = (after.0 - before.0, after.1 - before.1);
    Measured {
        p50: quantile(&buckets, 0.5),
        p99: quantile(&buckets, 0.99),
        direct_percent: 100.0 * direct / (direct + pulled),
    }
}

async fn write(counters: ReplicatedSharding<Counter>, ids: Vec<String>, at: &str) {
    let replica = replica(at);
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    for number in 0..SECONDS * RATE {
        ticks.tick().await;
        let id = &ids[usize::try_from(number).unwrap_or(0) % ids.len()];
        let counter = counters.entity_ref_for(id, &replica).expect("a reference");
        task::spawn("write", async move {
            let _ = counter.ask(|reply_to| Command::Add { delta: 1, reply_to }).await;
        });
    }
}

/// Waits until both replicas of each counter have the same value.
async fn settled(counters: &ReplicatedSharding<Counter>, ids: &[String]) {
    for id in ids {
        loop {
            let mut values = Vec::new();
            for counter in counters.entity_refs_for(id).expect("references").values() {
                values.push(counter.ask(|reply_to| Command::Get { reply_to }).await);
            }
            if values[0].is_ok() && values[0] == values[1] {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

type Counts = (f64, f64, Vec<(f64, f64)>);

fn counts(counters: &ReplicatedSharding<Counter>, metrics: &Metrics) -> Counts {
    let text = metrics.text();
    let buckets = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("antiphon_replication_seconds_bucket")?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let bound = labels.split("le=\"").nth(1)?.split('"').next()?;
        Some((bound.parse().unwrap_or(f64::INFINITY) * 1000.0, value.parse().ok()?))
    });
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
    let count = |name: &str| counters.counter(name) as f64;
    (count("events_direct"), count("events_pulled"), buckets.collect())
}

/// The upper bound of the bucket that contains the quantile `share`.
fn quantile(buckets: &[(f64, f64)], share: f64) -> f64 {
    let total = buckets.last().map_or(0.0, |(_, count)| *count);
    let bucket = buckets.iter().find(|(_, count)| *count >= share * total);
    bucket.map_or(f64::NAN, |(bound, _)| *bound)
}
