//! The Cassandra journal, on the server at `BENCH_CASSANDRA` (`make bench-cassandra` starts one).
//!
//! The server is warmed with the same load first (`WARM_SECONDS`, 60 unless set): a fresh one is five times slower.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use antiphon::cassandra::cql::{Replication, ServerSettings, apply};
use antiphon::cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::entity::{EntitySettings, StandaloneHost};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{PersistenceId, ReplicationId};
use antiphon_persistence::store::{Journal, WriterId};
use antiphon_persistence::task;
use antiphon_persistence::time::{Clock, SystemClock};

use super::appends::append;
use super::entities::counters;
use super::{hot_entity, runtime};
use crate::baseline::cassandra::{self, Shape};
use crate::report::Report;
use crate::stats::{Runs, Stopwatch};

const RUNS: usize = 3;
/// How long one measurement takes.
const TIME: Duration = Duration::from_secs(5);
const EVENT_BYTES: usize = 190;

fn point() -> String {
    std::env::var("BENCH_CASSANDRA").unwrap_or_else(|_| "127.0.0.1:9042".into())
}

async fn stores() -> CassandraStores {
    let server = ServerSettings {
        contact_points: vec![point()],
        keyspace: "antiphon_bench".into(),
        place: SystemClock.wall().as_micros().to_string(),
        replication: Some(Replication::Simple(1)),
        ..ServerSettings::default()
    };
    apply(&server).await.expect("a server: `make bench-cassandra`");
    let settings = CassandraSettings { server, ..CassandraSettings::default() };
    CassandraStores::open(settings).await.expect("stores")
}

pub(crate) fn appends(report: &mut Report) {
    let seconds = std::env::var("WARM_SECONDS").ok().and_then(|text| text.parse().ok());
    let warm = Duration::from_secs(seconds.unwrap_or(60));
    runtime().block_on(appends_per_second(64, warm));
    for streams in [1, 64, 1000] {
        let (mut ours, mut bare) = (Runs::default(), Runs::default());
        for _ in 0..RUNS {
            let (rate, group) = runtime().block_on(appends_per_second(streams, TIME));
            ours.push(rate);
            let lanes = 2.min(streams);
            let shape = Shape { lanes, group, streams, event_bytes: EVENT_BYTES };
            bare.push(runtime().block_on(cassandra::events_per_second(&point(), shape, TIME)));
        }
        let case = format!("{streams} entities");
        report.compare("cassandra-appends", case, "events/s", &ours, ("bare loop", &bare));
    }
}

/// The rate, and the mean number of appends in a round.
async fn appends_per_second(streams: usize, time: Duration) -> (f64, usize) {
    let stores = stores().await;
    let writer = WriterId::new("bench@1").expect("a name");
    stores.open_writer(&writer).await.expect("a new writer");
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let running: Vec<_> = (0..streams)
        .map(|stream| {
            let (stores, writer) = (stores.clone(), writer.clone());
            let (stop, done) = (stop.clone(), done.clone());
            task::spawn("writer", async move {
                let id = PersistenceId::parse(format!("bench|e-{stream}|A")).expect("an id");
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    stores.append(&writer, append(&id, number)).await.expect("an append");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // the first append of each stream looks for its end
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, stats) = (done.load(Ordering::Relaxed), stores.stats());
    let watch = Stopwatch::start();
    tokio::time::sleep(time).await;
    let rate = watch.rate(done.load(Ordering::Relaxed) - before);
    let now = stores.stats();
    stop.store(true, Ordering::Relaxed);
    for writer in running {
        writer.await.expect("a writer");
    }
    let group = (now.appends - stats.appends).div_ceil((now.rounds - stats.rounds).max(1));
    (rate, usize::try_from(group).expect("a small number").max(1))
}

pub(crate) fn hot(report: &mut Report) {
    let on = Runs::of(RUNS, || commands_per_second(true, 100_000));
    let off = Runs::of(RUNS, || commands_per_second(false, 2_000));
    let case = "64 clients";
    report.compare("cassandra-hot-entity", case, "commands/s", &on, ("one append a command", &off));
}

fn commands_per_second(pipelined: bool, count: usize) -> f64 {
    runtime().block_on(async {
        let stores = stores().await.stores();
        let settings = EntitySettings { pipelined, ..EntitySettings::default() };
        let counters =
            counters(&stores, &["A"], BTreeMap::new(), settings, Arc::new(StandaloneHost)).await;
        let id = ReplicationId::parse("counter|c-1|A").expect("an id");
        let counter = counters.spawn(id).expect("an entity");
        hot_entity::drive(&counter, 100).await;
        let watch = Stopwatch::start();
        hot_entity::drive(&counter, count).await;
        watch.rate(count)
    })
}

pub(crate) fn replay(report: &mut Report) {
    let (mut ours, mut bare) = (Runs::default(), Runs::default());
    let events = 100_000;
    runtime().block_on(async {
        let stores = stores().await;
        let writer = WriterId::new("bench@1").expect("a name");
        stores.open_writer(&writer).await.expect("a new writer");
        let id = PersistenceId::parse("bench|e-1|A").expect("an id");
        let mut highest = 0;
        while highest < events {
            let mut next = append(&id, highest);
            next.events = (highest..highest + 100).flat_map(|nr| append(&id, nr).events).collect();
            stores.append(&writer, next).await.expect("an append");
            highest += 100;
        }
        // the seal copies all of it
        stores.seal(&writer).await.expect("a seal");
        for _ in 0..RUNS {
            let watch = Stopwatch::start();
            let mut read = 0;
            while read < events {
                let first = SequenceNr::new(read + 1);
                let page =
                    stores.replay(&id, first, SequenceNr::MAX, 10_000).await.expect("events");
                read += page.len() as u64;
            }
            ours.push(watch.rate(usize::try_from(read).expect("small")));
            bare.push(
                cassandra::select_per_second(&point(), &stores.settings().server.place).await,
            );
        }
    });
    report.compare(
        "cassandra-replay",
        "100,000 events",
        "events/s",
        &ours,
        ("bare paged select", &bare),
    );
}
