//! Tests of the sink on the Cassandra store, with a model of its server.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Timestamp;
use antiphon_cassandra::model::{Faults, FaultyTables, ModelTables};
use antiphon_cassandra::tables::{LaneId, LogTables, Tables};
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::event::{EventMeta, Labels, Metadata, Payload, Tags};
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::version::VersionVector;
use bytes::Bytes;

use super::*;

#[tokio::test]
async fn a_repeated_write_is_a_duplicate_and_a_gap_is_seen() {
    let tables = ModelTables::new();
    let sink = sink(&tables, "it");

    assert_eq!(sink.write(&events("a", 1..=3)).await, vec![Outcome::Written(None); 3]);
    let outcomes = sink.write(&events("a", 2..=4)).await;
    assert_eq!(outcomes[..2], [Outcome::Duplicate, Outcome::Duplicate]);
    assert_eq!(outcomes[2], Outcome::Written(None));
    let gap = sink.write(&events("a", 6..=7)).await;
    let missing = Outcome::Conflict(Conflict::Missing { current: Some(3) });
    assert_eq!(gap, [missing, Outcome::Untried]);

    assert_eq!(numbers(&tables, "a").await, [1, 2, 3, 4]);
    assert_eq!(stored_labels(&tables, "a").await, [1, 2, 3, 4].map(labels));
}

#[tokio::test]
async fn a_successor_seals_the_writer_of_a_killed_one_before_it_looks() {
    let tables = ModelTables::new();
    let killed = sink(&tables, "it");
    killed.write(&events("a", 1..=2)).await;
    let old = writer_in_table(&tables, "it").await.unwrap();

    let successor = sink(&tables, "it");
    assert_eq!(successor.write(&events("a", 2..=3)).await.pop(), Some(Outcome::Written(None)));

    let row = tables.writer(&old).await.unwrap().unwrap();
    assert!(row.sealed && row.copied, "{row:?}");
    assert_ne!(writer_in_table(&tables, "it").await.unwrap(), old);
    assert_eq!(numbers(&tables, "a").await, [1, 2, 3]);
}

#[tokio::test]
async fn of_two_that_run_the_later_one_writes_and_the_other_says_why_it_does_not() {
    let tables = ModelTables::new();
    let (first, second) = (sink(&tables, "it"), sink(&tables, "it"));
    first.write(&events("a", 1..=1)).await;
    second.write(&events("a", 2..=2)).await;

    // the first sink notices at its first failed write, and writes nothing more
    for _ in 0..3 {
        let refused = first.write(&events("a", 3..=3)).await;
        assert!(matches!(&refused[..], [Outcome::Unavailable(_)]), "{refused:?}");
    }
    let Outcome::Unavailable(reason) = first.write(&events("a", 3..=3)).await.remove(0) else {
        panic!("it writes again");
    };
    assert!(reason.contains("another replicator (replicator-"), "{reason}");
    assert!(reason.contains("has taken over `it`"), "{reason}");
    assert!(first.probe().await.is_err());
    assert!(second.probe().await.is_ok());
    assert_eq!(second.write(&events("a", 3..=3)).await, [Outcome::Written(None)]);
    first.close().await.unwrap();
    assert_eq!(second.write(&events("a", 4..=4)).await, [Outcome::Written(None)]);
    assert_eq!(numbers(&tables, "a").await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn sinks_of_different_names_leave_each_other_alone() {
    let tables = ModelTables::new();
    let (one, other) = (sink(&tables, "one"), sink(&tables, "other"));
    for number in 1..=3 {
        assert_eq!(one.write(&events("a", number..=number)).await, [Outcome::Written(None)]);
        assert_eq!(other.write(&events("b", number..=number)).await, [Outcome::Written(None)]);
    }
}

#[tokio::test]
async fn a_sink_that_ends_leaves_no_open_writer() {
    let tables = ModelTables::new();
    let unused = sink(&tables, "it");
    unused.close().await.unwrap();
    assert_eq!(writer_in_table(&tables, "it").await, None, "nothing was to be sealed");

    let used = sink(&tables, "it");
    used.write(&events("a", 1..=1)).await;
    let writer = writer_in_table(&tables, "it").await.unwrap();
    used.close().await.unwrap();

    assert!(tables.writer(&writer).await.unwrap().unwrap().copied);
    assert_eq!(writer_in_table(&tables, "it").await.as_deref(), Some(""));
    let next = sink(&tables, "it");
    assert_eq!(next.write(&events("a", 2..=2)).await, [Outcome::Written(None)]);
}

#[tokio::test(start_paused = true)]
async fn whatever_a_write_answers_each_event_is_there_once_and_in_order() {
    for seed in 0..200 {
        let tables = ModelTables::new();
        let faults = Faults {
            refused: 30,
            unknown_applied: 50,
            unknown_late: 100,
            unknown_lost: 50,
            delay_max: Duration::from_millis(40),
            late_max: Duration::from_secs(2),
        };
        let faulty = FaultyTables::new(Arc::new(tables.clone()), seed, faults);
        let write_timeout = Duration::from_millis(60);
        let mut sink = sink_on(Arc::new(faulty.clone()), "it", write_timeout);
        let mut next = 1;
        let mut tries = 0;
        while next <= 20 {
            tries += 1;
            assert!(tries < 2000, "seed {seed}: it does not end at #{next}");
            if tries % 5 == 0 {
                // killed: its writes in progress may still take effect
                sink = sink_on(Arc::new(faulty.clone()), "it", write_timeout);
            }
            let outcomes = sink.write(&events("a", next..=(next + 2).min(20))).await;
            for outcome in &outcomes {
                match outcome {
                    Outcome::Written(_) | Outcome::Duplicate => next += 1,
                    Outcome::Unavailable(_) | Outcome::Untried => break,
                    Outcome::Conflict(_)
                    | Outcome::Dropped
                    | Outcome::Retryable(_)
                    | Outcome::Rejected(_) => panic!("seed {seed}: #{next}: {outcome:?}"),
                }
            }
        }
        assert_eq!(numbers(&tables, "a").await, (1..=20).collect::<Vec<_>>(), "seed {seed}");
        // late writes may still take effect, but each event must be in exactly one round
        tokio::time::sleep(faults.late_max).await;
        let log = log(&tables).await;
        for number in 1..=20 {
            let times = log.windows(12).filter(|bytes| *bytes == marker(number)).count();
            assert_eq!(times, 1, "seed {seed}: event #{number} in the logs of all writers");
        }
    }
}

fn sink(tables: &ModelTables, name: &str) -> JournalSink {
    sink_on(Arc::new(tables.clone()), name, Duration::from_secs(10))
}

/// A sink with its own session, as in another process.
fn sink_on(tables: Arc<dyn Tables>, name: &str, write_timeout: Duration) -> JournalSink {
    let stores = CassandraStores::on(tables, CassandraSettings::default(), 1000).stores();
    let settings = JournalSinkSettings { name: name.to_owned(), write_timeout };
    JournalSink::new(DeferredStores::opened(stores), settings)
}

async fn writer_in_table(tables: &ModelTables, name: &str) -> Option<String> {
    let tables = Arc::new(tables.clone());
    let stores = CassandraStores::on(tables, CassandraSettings::default(), 1000).stores();
    let row = stores.coordination.read("replicator_writers", name).await.unwrap()?;
    Some(String::from_utf8(row.value.to_vec()).unwrap())
}

async fn numbers(tables: &ModelTables, entity: &str) -> Vec<u64> {
    let stored = stored(tables, entity).await;
    stored.iter().map(|event| event.sequence_nr.value()).collect()
}

async fn stored_labels(tables: &ModelTables, entity: &str) -> Vec<Labels> {
    stored(tables, entity).await.into_iter().map(|event| event.meta.labels).collect()
}

async fn stored(tables: &ModelTables, entity: &str) -> Vec<StoredEvent> {
    let tables = Arc::new(tables.clone());
    let stores = CassandraStores::on(tables, CassandraSettings::default(), 1000).stores();
    let (first, last) = (SequenceNr::new(1), SequenceNr::MAX);
    stores.journal.replay(&id(entity), first, last, 1000).await.unwrap()
}

/// The rounds of all writers, concatenated.
async fn log(tables: &ModelTables) -> Vec<u8> {
    let mut log = Vec::new();
    for row in tables.writers().await.unwrap() {
        for lane in 0..row.lanes {
            let lane = LaneId { writer: row.writer.clone(), lane };
            let page = tables.rounds(&lane, 0, 0).await.unwrap();
            page.rounds.iter().for_each(|(_, record)| log.extend_from_slice(record));
        }
    }
    log
}

fn marker(number: u64) -> [u8; 12] {
    let mut marker = *b"event #  ...";
    marker[7..9].copy_from_slice(format!("{number:02}").as_bytes());
    marker
}

fn id(entity: &str) -> PersistenceId {
    PersistenceId::parse(format!("cart|{entity}")).unwrap()
}

fn events(entity: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<Envelope> {
    numbers.map(|number| envelope(entity, number)).collect()
}

/// The labels of an event: every second one has metadata and a tag.
fn labels(number: u64) -> Labels {
    if !number.is_multiple_of(2) {
        return Labels::none();
    }
    let metadata = Metadata::new().with("number", number.to_string()).unwrap();
    Labels::new(metadata, Tags::from(["even"])).unwrap()
}

fn envelope(entity: &str, number: u64) -> Envelope {
    let origin = ReplicaId::empty();
    let mut version = VersionVector::new();
    version.set(&origin, number);
    let stored = StoredEvent {
        sequence_nr: SequenceNr::new(number),
        meta: EventMeta {
            origin,
            version,
            source_seq: SequenceNr::new(number),
            concurrent: false,
            timestamp: Timestamp::from_micros(number),
            labels: labels(number),
        },
        payload: Payload {
            codec: 1,
            manifest: "added".into(),
            version: 1,
            bytes: Bytes::copy_from_slice(&marker(number)),
        },
    };
    let event = journal_event::to_event(&id(entity), stored).unwrap();
    Envelope::of(event)
}
