//! Catch-up of 100,000 events from another replica's SQLite journal into the own journal, beside
//! the bare SQLite append loop with the same batch size; with the writer at rest, and with the
//! writer running.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon_base::task;
use antiphon_base::time::Timestamp;
use antiphon_counter::{Counter, Event};
use antiphon_persistence::codec::CodecId;
use antiphon_persistence::entity::{EntityRuntime, EntitySettings, StandaloneHost};
use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicationId};
use antiphon_persistence::store::{Append, Journal, Stores, WriterId};
use antiphon_sqlite::{SqliteSettings, SqliteStores};

use super::entities::{counters, replica};
use crate::baseline::sqlite;
use crate::process::runtime;
use crate::report::Report;
use crate::stats::{Runs, Stopwatch};

const RUNS: usize = 3;
pub(crate) const EVENTS: usize = 100_000;
const EVENT_BYTES: usize = 40;

pub(crate) fn run(report: &mut Report) {
    for entities in [1, 100, 10_000] {
        for runs_on in [false, true] {
            let (mut values, mut bare) = (Runs::default(), Runs::default());
            for _ in 0..RUNS {
                let folder = tempfile::tempdir_in("target").expect("a writable folder");
                let (rate, batch) =
                    runtime().block_on(events_per_second(folder.path(), entities, runs_on));
                values.push(rate);
                let shape = sqlite::Shape {
                    streams: entities,
                    group: entities.min(64),
                    events: batch,
                    event_bytes: EVENT_BYTES,
                };
                bare.push(sqlite::events_per_second(folder.path(), EVENTS, &shape));
            }
            let writer = if runs_on { ", writer runs on" } else { "" };
            let case = format!("{entities} entities{writer}");
            report.compare("catch-up", case, "events/s", &values, ("bare SQLite", &bare));
        }
    }
}

async fn open(path: &Path, name: &str) -> Stores {
    let stores = SqliteStores::open(path.join(name), SqliteSettings::default());
    stores.expect("a new journal").stores()
}

/// The rate, and the mean number of events in an append.
async fn events_per_second(folder: &Path, entities: usize, runs_on: bool) -> (f64, usize) {
    let (a, b) = (open(folder, "a.db").await, open(folder, "b.db").await);
    let writer = WriterId::new("a@1").expect("a name");
    a.journal.open_writer(&writer).await.expect("a new writer");
    let each = EVENTS / entities;
    fill(&*a.journal, &writer, entities).await;
    let stop = Arc::new(AtomicBool::new(false));
    let more = runs_on.then(|| {
        let (journal, stop) = (a.journal.clone(), stop.clone());
        task::spawn("writer", async move {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                write(&*journal, &writer, 0, each + written, 1).await;
                written += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    });
    let peers: BTreeMap<_, Arc<dyn Journal>> = [(replica("A"), a.journal.clone())].into();
    let host = Arc::new(StandaloneHost);
    let runtime = counters(&b, &["A", "B"], peers, EntitySettings::default(), host).await;
    let measured = follow(&runtime, entities, EVENTS).await;
    stop.store(true, Ordering::Relaxed);
    if let Some(more) = more {
        more.await.expect("the writer");
    }
    measured
}

/// Writes all events, entity after entity.
pub(crate) async fn fill(journal: &dyn Journal, writer: &WriterId, entities: usize) {
    let each = EVENTS / entities;
    for number in 0..entities {
        let mut before = 0;
        while before < each {
            let count = (each - before).min(500);
            write(journal, writer, number, before, count).await;
            before += count;
        }
    }
}

/// Starts the entities and waits until they have the events; returns the rate, and the mean number
/// of events in an append.
pub(crate) async fn follow(
    runtime: &EntityRuntime<Counter>,
    entities: usize,
    events: usize,
) -> (f64, usize) {
    let watch = Stopwatch::start();
    let handles: Vec<_> = (0..entities)
        .map(|number| {
            let id = ReplicationId::parse(&format!("counter|c-{number}|B")).expect("an id");
            runtime.spawn(id).expect("an entity")
        })
        .collect();
    let pulled = || runtime.counters().events_pulled.load(Ordering::Relaxed) as usize;
    let appended = || runtime.counters().appends.load(Ordering::Relaxed) as usize;
    while pulled() < events {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // the events applied last are durable when each entity has answered
    for handle in &handles {
        let ask = |reply_to| antiphon_counter::Command::Get { reply_to };
        handle.ask(ask).await.expect("an answer");
    }
    (watch.rate(events), (pulled() / appended().max(1)).max(1))
}

async fn write(
    journal: &dyn Journal,
    writer: &WriterId,
    entity: usize,
    before: usize,
    count: usize,
) {
    let origin = replica("A");
    let payload = CodecId::Bincode.encode(&Event::Added { delta: 1 }).expect("an event");
    let events = (1..=count as u64).map(|number| {
        let number = before as u64 + number;
        StoredEvent {
            sequence_nr: SequenceNr::new(number),
            meta: EventMeta {
                origin: origin.clone(),
                version: [(origin.clone(), number)].into_iter().collect(),
                source_seq: SequenceNr::new(number),
                concurrent: false,
                timestamp: Timestamp::from_micros(number),
                labels: Labels::none(),
            },
            payload: Payload {
                codec: 1,
                manifest: "".into(),
                version: 1,
                bytes: payload.clone().into(),
            },
        }
    });
    let append = Append {
        persistence_id: PersistenceId::parse(format!("counter|c-{entity}|A")).expect("an id"),
        expected: SequenceNr::new(before as u64),
        events: events.collect(),
    };
    journal.append(writer, append).await.expect("space on the disk");
}
