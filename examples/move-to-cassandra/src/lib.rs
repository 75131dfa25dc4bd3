//! Moves the entities of one type from one journal to another while the system runs.
//!
//! 1. [`follow`] copies the stored events, and then new events, for as long as the system writes.
//! 2. When the copy is live, the system is stopped; the last events arrive within seconds.
//! 3. [`compare`] reads both journals and checks that they are the same, to the bit.
//! 4. The system starts on the new journal. Numbers, versions and origins are those of the old
//!    journal, so entities recover as after any restart, and replicas in other places notice no
//!    difference.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::SystemClock;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::store::{DeferredStores, Stores};
use antiphon_replicator::checkpoint::FileCheckpoint;
use antiphon_replicator::config::{SinkKind, SubscriptionKind};
use antiphon_replicator::filter::Shaping;
use antiphon_replicator::health::{Monitor, Subscription};
use antiphon_replicator::metrics::Metrics;
use antiphon_replicator::park::ParkingLot;
use antiphon_replicator::pipeline::{LaneOrder, PipelineSettings};
use antiphon_replicator::sink::{JournalSink, JournalSinkSettings};
use antiphon_replicator::source::{JournalSource, JournalSourceSettings};
use antiphon_replicator::subscription::{Parts, RunningSubscription};
use antiphon_replicator::{Error, Result};

/// The streams to move, and the folder of the mover's own files.
#[derive(Debug, Clone)]
pub struct Move {
    /// The type of the entities.
    pub entity_type: String,
    /// The replica whose streams are moved; empty for entities without replicas.
    pub replica: String,
    /// A folder for the checkpoint of the move, and for parked events.
    pub folder: PathBuf,
    /// True when the move ends as soon as it is live.
    pub once: bool,
}

/// Streams in one page of the change feed, and events compared at a time.
const PAGE: usize = 256;
const PARKED_MAX: usize = 1000;

/// Starts copying from one journal to the other.
///
/// # Errors
/// `Rejected` when the replica is not a valid name; `Unavailable` when the folder cannot be used.
pub async fn follow(from: &Stores, to: &Stores, what: &Move) -> Result<RunningSubscription> {
    let replica = match what.replica.as_str() {
        "" => ReplicaId::empty(),
        name => ReplicaId::new(name)?,
    };
    let name = format!("move-{}", what.entity_type);
    let source = JournalSourceSettings {
        entity_type: what.entity_type.clone(),
        replica,
        poll_interval: Duration::from_millis(100),
        change_count_max: PAGE,
    };
    let subscription = Subscription {
        name: name.clone(),
        stream: format!("journal:{}", what.entity_type),
        group: name.clone(),
        kind: SubscriptionKind::Journal,
    };
    let sink = JournalSinkSettings { name: name.clone(), write_timeout: Duration::from_secs(10) };
    let metrics = Metrics::new(Arc::new(SystemClock));
    let stall_time = Duration::from_secs(60);
    RunningSubscription::start(Parts {
        source: Arc::new(JournalSource::new(DeferredStores::opened(from.clone()), source)),
        sink: Arc::new(JournalSink::new(DeferredStores::opened(to.clone()), sink)),
        checkpoints: Arc::new(FileCheckpoint::new(&what.folder, &name)?),
        parking: Arc::new(ParkingLot::new(&what.folder, &name, PARKED_MAX)?),
        shaping: Arc::new(Shaping::default()),
        monitor: Arc::new(Monitor::new(subscription, SinkKind::Journal, &metrics, stall_time)),
        clock: Arc::new(SystemClock),
        pipeline: PipelineSettings {
            // a database that groups appends is fast when many entities are written at the same
            // time
            lane_count: 4,
            lane_order: LaneOrder::PerStream,
            lane_writes_max: 16,
            ..PipelineSettings::default()
        },
        held_bytes_max: 64 << 20,
        head_interval: Duration::from_secs(5),
        run_once: what.once,
        settles_nothing: false,
    })
    .await
}

/// Compares every stream of the type; returns the number of equal events.
///
/// # Errors
/// `Rejected`, naming the first stream that differs and the difference; `Unavailable` when a
/// journal cannot be read.
pub async fn compare(from: &Stores, to: &Stores, entity_type: &str) -> Result<u64> {
    let mut same = 0;
    let mut after = None;
    loop {
        let page = from.read_journal.persistence_ids(entity_type, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(same) };
        after = Some(last.clone());
        for id in page {
            let mut next = SequenceNr::new(1);
            loop {
                let wanted = from.journal.replay(&id, next, SequenceNr::MAX, PAGE).await?;
                let Some(last) = wanted.last() else { break };
                let there = to.journal.replay(&id, next, last.sequence_nr, PAGE).await?;
                if there != wanted {
                    return Err(Error::rejected(format!(
                        "`{id}` differs from #{next} on: {} events here, {} there",
                        wanted.len(),
                        there.len()
                    )));
                }
                same += u64::try_from(wanted.len()).unwrap_or(u64::MAX);
                next = last.sequence_nr.next();
            }
        }
    }
}
