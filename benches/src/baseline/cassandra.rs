//! A bare loop on the driver with the same statements as the journal: the same conditional batches
//! into lanes, and the same late copies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use antiphon_base::task;
use bytes::Bytes;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

use crate::stats::Stopwatch;

/// The shape of the loop's writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) lanes: usize,
    /// Events in a round.
    pub(crate) group: usize,
    pub(crate) streams: usize,
    pub(crate) event_bytes: usize,
}

/// Events per second.
pub(crate) async fn events_per_second(point: &str, shape: Shape, time: Duration) -> f64 {
    let session = SessionBuilder::new().known_node(point).build().await.expect("a server");
    let session = Arc::new(session);
    for statement in [
        "CREATE KEYSPACE IF NOT EXISTS bench_bare WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE IF NOT EXISTS bench_bare.log (lane text, nr bigint, head bigint STATIC, record blob, PRIMARY KEY (lane, nr))",
        "CREATE TABLE IF NOT EXISTS bench_bare.events (stream text, first bigint, record blob, PRIMARY KEY (stream, first))",
    ] {
        session.query_unpaged(statement, ()).await.expect("a table");
    }
    let run = format!("{:p}", Arc::as_ptr(&session));
    let watch = Stopwatch::start();
    let uncopied = Arc::new(AtomicUsize::new(0));
    let lanes: Vec<_> = (0..shape.lanes)
        .map(|lane| {
            let name = format!("{run}-{lane}");
            task::spawn("lane", lane_loop(session.clone(), name, shape, time, uncopied.clone()))
        })
        .collect();
    let copier = task::spawn("copier", copy_loop(session.clone(), run, shape, uncopied));
    let mut rounds = 0;
    for lane in lanes {
        rounds += lane.await.expect("a lane");
    }
    let rate = watch.rate(rounds * shape.group);
    copier.abort();
    rate
}

async fn lane_loop(
    session: Arc<Session>,
    lane: String,
    shape: Shape,
    time: Duration,
    uncopied: Arc<AtomicUsize>,
) -> usize {
    let update =
        "UPDATE bench_bare.log SET head = ?, record = ? WHERE lane = ? AND nr = ? IF head = ?";
    let update = session.prepare(update).await.expect("a statement");
    let record = vec![7_u8; shape.group * shape.event_bytes];
    let watch = Stopwatch::start();
    let (mut nr, mut head) = (0_i64, None);
    while watch.elapsed() < time {
        nr += 1;
        session.execute_unpaged(&update, (nr, &record, &lane, nr, head)).await.expect("a round");
        head = Some(nr);
        uncopied.fetch_add(shape.group, Ordering::Relaxed);
    }
    usize::try_from(nr).expect("a small number")
}

/// Copies, each second and for each stream, the new events, in rows as long as the journal's.
async fn copy_loop(session: Arc<Session>, run: String, shape: Shape, uncopied: Arc<AtomicUsize>) {
    let insert = "INSERT INTO bench_bare.events (stream, first, record) VALUES (?, ?, ?)";
    let insert = Arc::new(session.prepare(insert).await.expect("a statement"));
    let mut first = 0_i64;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut events = uncopied.swap(0, Ordering::Relaxed) / shape.streams;
        let room = Arc::new(tokio::sync::Semaphore::new(64));
        while events > 0 {
            let row = events.min(ROW_EVENTS);
            let record = Bytes::from(vec![7_u8; row * shape.event_bytes]);
            events -= row;
            first += 1;
            for stream in 0..shape.streams {
                let permit = room.clone().acquire_owned().await;
                let (session, insert, record) = (session.clone(), insert.clone(), record.clone());
                let stream = format!("{run}-{stream}");
                task::spawn("copy", async move {
                    let _permit = permit;
                    let row = (stream, first, record);
                    session.execute_unpaged(&insert, row).await.expect("a row");
                });
            }
        }
    }
}

/// Most events in a row of a copy, as in the journal.
const ROW_EVENTS: usize = 256;

/// Events per second of a paged select over the rows of the one stream of a place, `times` times,
/// decoded only to bytes.
pub(crate) async fn select_per_second(point: &str, place: &str, times: u64) -> f64 {
    use futures::TryStreamExt;
    let session = SessionBuilder::new().known_node(point).build().await.expect("a server");
    let select = "SELECT first, last, record FROM antiphon_bench.events WHERE place = ? AND stream = 'bench|e-1|A' AND part = ?";
    let select = session.prepare(select).await.expect("a statement");
    let watch = Stopwatch::start();
    let (mut events, mut read, mut part) = (0, 0, 0_i64);
    while read < times {
        let rows = session.execute_iter(select.clone(), (place, part)).await.expect("rows");
        let rows = rows.rows_stream::<(i64, i64, Vec<u8>)>().expect("rows of this form");
        let rows: Vec<(i64, i64, Vec<u8>)> = rows.try_collect().await.expect("rows");
        part += 1;
        if rows.is_empty() {
            (read, part) = (read + 1, 0);
        }
        events += rows.iter().map(|(first, last, _)| last - first + 1).sum::<i64>();
    }
    watch.rate(usize::try_from(events).expect("a small number"))
}

/// Events per second of a paged select over `events` rows of one event each, in partitions of
/// 10,000.
pub(crate) async fn rows_per_second(point: &str, events: u64) -> f64 {
    use futures::TryStreamExt;
    const PART: i64 = 10_000;
    let session = SessionBuilder::new().known_node(point).build().await.expect("a server");
    let table = "CREATE TABLE IF NOT EXISTS antiphon_bench.bare_rows (part bigint, nr bigint, record blob, PRIMARY KEY (part, nr))";
    session.query_unpaged(table, ()).await.expect("a table");
    let session = Arc::new(session);
    let select = "SELECT nr, record FROM antiphon_bench.bare_rows WHERE part = ?";
    let select = session.prepare(select).await.expect("a statement");
    let parts = i64::try_from(events).expect("a small number") / PART;
    let there = session.execute_unpaged(&select, (parts - 1,)).await.expect("rows");
    if there.into_rows_result().expect("rows").rows_num() == 0 {
        let insert = "INSERT INTO antiphon_bench.bare_rows (part, nr, record) VALUES (?, ?, ?)";
        let insert = session.prepare(insert).await.expect("a statement");
        let writers = (0..64).map(|writer| {
            let (session, insert) = (session.clone(), insert.clone());
            task::spawn("rows", async move {
                for nr in (writer..parts * PART).step_by(64) {
                    let row = (nr / PART, nr, vec![7_u8; 200]);
                    session.execute_unpaged(&insert, row).await.expect("a row");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("a writer");
        }
    }
    let watch = Stopwatch::start();
    let mut read = 0;
    for part in 0..parts {
        let rows = session.execute_iter(select.clone(), (part,)).await.expect("rows");
        let rows = rows.rows_stream::<(i64, Vec<u8>)>().expect("rows of this form");
        let rows: Vec<(i64, Vec<u8>)> = rows.try_collect().await.expect("rows");
        read += rows.len();
    }
    watch.rate(read)
}
