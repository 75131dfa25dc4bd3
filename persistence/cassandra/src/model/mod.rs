//! A model of a Cassandra cluster behind the seam of the [tables](crate::tables): for the simulation, and for tests without a server.
//!
//! A conditional write is atomic in its partition. With [`Faults`], any statement may be slow, fail before or after it took effect, and a
//! conditional or plain write whose outcome is unknown may take effect later, after others. All by a seed.

mod tables;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use antiphon_persistence::Error;
use antiphon_persistence::task::spawn;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::tables::{
    Cells, EventRow, Failed, LaneId, LaneState, Outcome, PartState, StreamRow, WriterRow,
};

/// How a model misbehaves; the default is not at all. Chances are out of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Statements that fail and have surely no effect.
    pub refused: u32,
    /// Writes that fail, although they took effect.
    pub unknown_applied: u32,
    /// Writes that fail and take effect later.
    pub unknown_late: u32,
    /// Writes that fail as unknown and never take effect.
    pub unknown_lost: u32,
    /// The longest a statement takes.
    pub delay_max: Duration,
    /// The longest until a late effect.
    pub late_max: Duration,
}

/// The state of a part of a log, with its rounds.
#[derive(Debug, Default, Clone)]
struct Part {
    state: PartState,
    rounds: BTreeMap<u64, bytes::Bytes>,
}

/// Rows of a part of a stream, by their first and last event.
type EventRows = BTreeMap<(u64, u64), EventRow>;

#[derive(Debug, Default)]
struct Data {
    writers: BTreeMap<Arc<str>, WriterRow>,
    parts: BTreeMap<(LaneId, u64), Part>,
    lanes: BTreeMap<LaneId, LaneState>,
    events: BTreeMap<(Arc<str>, u64), EventRows>,
    /// Rows that end here or before are deleted, whenever they come.
    hidden: BTreeMap<(Arc<str>, u64), u64>,
    highest: BTreeMap<(Arc<str>, u64), u64>,
    streams: BTreeMap<Arc<str>, StreamRow>,
    ids: BTreeMap<(String, u16), std::collections::BTreeSet<Arc<str>>>,
    snapshots: BTreeMap<(String, u64), bytes::Bytes>,
    offsets: BTreeMap<(String, String), String>,
    cells: BTreeMap<String, Cells>,
}

struct Shared {
    data: Mutex<Data>,
    chance: Mutex<(ChaCha8Rng, Faults)>,
}

/// A model of a cluster with the tables of one place. Clones are other sessions on the same data.
#[derive(Clone)]
pub struct ModelTables {
    shared: Arc<Shared>,
}

impl ModelTables {
    /// An empty model.
    pub fn new(seed: u64, faults: Faults) -> Self {
        let chance = Mutex::new((ChaCha8Rng::seed_from_u64(seed), faults));
        Self { shared: Arc::new(Shared { data: Mutex::default(), chance }) }
    }

    /// Changes how it misbehaves from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.chance.lock().unwrap_or_else(PoisonError::into_inner).1 = faults;
    }

    /// Forgets the last round of each open part, as a server does that lost acknowledged writes.
    pub fn lose_newest_rounds(&self) {
        for part in self.data().parts.values_mut().filter(|part| !part.state.closed) {
            part.rounds.pop_last();
            part.state.head = part.rounds.keys().next_back().copied();
        }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.shared.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn roll(&self) -> (u32, Duration, Duration, Faults) {
        let mut chance = self.shared.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let (random, faults) = &mut *chance;
        let mut up_to = |max: Duration| {
            let micros = u64::try_from(max.as_micros()).unwrap_or(u64::MAX);
            Duration::from_micros(if micros == 0 { 0 } else { random.random_range(0..=micros) })
        };
        let (delay, late) = (up_to(faults.delay_max), up_to(faults.late_max));
        (random.random_range(0..1000), delay, late, *faults)
    }

    async fn read<T>(&self, read: impl FnOnce(&Data) -> T + Send) -> Outcome<T> {
        let (roll, delay, _, faults) = self.roll();
        wait(delay).await;
        if roll < faults.refused {
            return Err(failed(false));
        }
        Ok(read(&self.data()))
    }

    async fn write<T: Send>(&self, write: impl Fn(&mut Data) -> T + Send + 'static) -> Outcome<T> {
        let (mut roll, delay, late, faults) = self.roll();
        wait(delay / 2).await;
        if roll < faults.refused {
            return Err(failed(false));
        }
        roll -= faults.refused;
        if roll < faults.unknown_applied {
            write(&mut self.data());
            return Err(failed(true));
        }
        roll -= faults.unknown_applied;
        if roll < faults.unknown_late {
            let model = self.clone();
            spawn("late effect", async move {
                wait(late).await;
                write(&mut model.data());
            });
            return Err(failed(true));
        }
        roll -= faults.unknown_late;
        if roll < faults.unknown_lost {
            return Err(failed(true));
        }
        let answer = write(&mut self.data());
        wait(delay / 2).await;
        Ok(answer)
    }
}

async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

fn failed(unknown: bool) -> Failed {
    let error = if unknown {
        Error::timeout("model: the outcome is unknown")
    } else {
        Error::unavailable("model: no server answers")
    };
    Failed { unknown, error }
}
