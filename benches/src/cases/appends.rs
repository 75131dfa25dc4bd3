//! Appends per second of the SQLite journal: one event each, one in flight for each writer.
//!
//! The references are a bare append-only file with one sync per group, and a bare SQLite loop with
//! the same schema and group size.

use std::path::Path;

use antiphon_base::task;
use antiphon_base::time::Timestamp;
use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicaId};
use antiphon_persistence::store::{Append, Journal, WriterId};
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use bytes::Bytes;

use crate::baseline::{file, sqlite};
use crate::report::Report;
use crate::stats::{Runs, Stopwatch};

const RUNS: usize = 5;
const PAYLOAD_BYTES: usize = 100;
/// The payload with its metadata, as it is stored.
const EVENT_BYTES: usize = 130;

pub(crate) fn run(report: &mut Report) {
    for (writers, count) in [(1, 4_000), (64, 60_000), (1000, 200_000)] {
        let mut values = Runs::default();
        let mut bare_file = Runs::default();
        let mut bare_sqlite = Runs::default();
        for _ in 0..RUNS {
            let folder = tempfile::tempdir_in("target").expect("a writable folder");
            let (rate, group) = appends_per_second(folder.path(), writers, count);
            values.push(rate);
            bare_file.push(file::appends_per_second(folder.path(), count, EVENT_BYTES, group));
            let shape =
                sqlite::Shape { streams: writers, group, events: 1, event_bytes: EVENT_BYTES };
            bare_sqlite.push(sqlite::events_per_second(folder.path(), count, &shape));
        }
        let case = format!("{writers} writers");
        report.compare(
            "appends",
            case.clone(),
            "appends/s",
            &values,
            ("bare SQLite", &bare_sqlite),
        );
        report.compare("appends", case, "appends/s", &values, ("bare file", &bare_file));
    }
}

/// The rate, and the mean number of appends in a group.
fn appends_per_second(folder: &Path, writers: usize, count: usize) -> (f64, usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stores = SqliteStores::open(folder.join("journal.db"), SqliteSettings::default())
            .expect("a new journal");
        let node = WriterId::new("bench@1").expect("a name");
        stores.open_writer(&node).await.expect("a new writer");
        let watch = Stopwatch::start();
        let running: Vec<_> = (0..writers)
            .map(|writer| {
                let (stores, node) = (stores.clone(), node.clone());
                task::spawn("writer", async move {
                    let id = PersistenceId::parse(format!("bench|e-{writer}|A")).expect("an id");
                    for number in 0..count / writers {
                        let append = append(&id, number as u64);
                        stores.append(&node, append).await.expect("space on the disk");
                    }
                })
            })
            .collect();
        for writer in running {
            writer.await.expect("a running writer");
        }
        let rate = watch.rate(count);
        let stats = stores.stats();
        let group = stats.appends.div_ceil(stats.groups.max(1));
        (rate, usize::try_from(group).expect("a small number"))
    })
}

pub(crate) fn append(persistence_id: &PersistenceId, before: u64) -> Append {
    let origin = ReplicaId::new("A").expect("a name");
    let sequence_nr = SequenceNr::new(before + 1);
    let meta = EventMeta {
        version: [(origin.clone(), before + 1)].into_iter().collect(),
        origin,
        source_seq: sequence_nr,
        concurrent: false,
        timestamp: Timestamp::from_micros(1_700_000_000_000_000 + before),
        labels: Labels::none(),
    };
    let bytes = Bytes::from_static(&[7; PAYLOAD_BYTES]);
    let payload = Payload { codec: 1, manifest: "".into(), version: 1, bytes };
    Append {
        persistence_id: persistence_id.clone(),
        expected: SequenceNr::new(before),
        events: vec![StoredEvent { sequence_nr, meta, payload }],
    }
}
