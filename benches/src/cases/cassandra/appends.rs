//! Appends per second, beside a bare loop on the driver with the same rounds and late copies.
//!
//! The server is warmed up with the same load first (`WARM_SECONDS`, 60 unless set): a fresh server
//! is five times slower.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use antiphon_base::task;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Journal, WriterId};

use super::super::appends::append;
use super::{RUNS, point, stores};
use crate::baseline::cassandra::{self, Shape};
use crate::process::runtime;
use crate::report::Report;
use crate::stats::{Runs, Stopwatch};

/// Duration of one measurement.
const TIME: Duration = Duration::from_secs(5);
const EVENT_BYTES: usize = 190;

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
    // the first append of each stream reads the end of the stream
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
