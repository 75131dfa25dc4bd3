//! The journal of a place goes back to an earlier copy, or is deleted, while none of the place's
//! nodes runs: a restored backup, a new disk.
//!
//! Only an acknowledged line that no place has afterwards may be lost. Every line that any place
//! still has must come back.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::codec::CodecId;
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::memory::MemoryCopy;
use antiphon_runtime::transport::memory::SplitMix64;
use tokio::time::Instant;

use crate::clients::History;
use crate::cluster::Cluster;
use crate::invariants;
use crate::ledger::Added;
use crate::trace::Trace;

/// Time after the end of the nodes until all calls in flight have ended, including the stores of
/// events that another place had received (docs/restore.md asks an operator to wait too).
const SETTLE: Duration = Duration::from_secs(5);

/// Backups, and the times at which a journal goes back. The random numbers are separate, so that
/// the rest of a run is the same with and without rewinds.
pub(crate) struct Rewinds {
    random: SplitMix64,
    backups: Vec<(usize, MemoryCopy)>,
    copy_at: Instant,
    strike_at: Instant,
    left: u64,
}

impl Rewinds {
    /// The rewinds of a seed: two of four seeds have some, if their stores can go back.
    pub(crate) fn new(seed: u64, cluster: &Cluster, start: Instant) -> Self {
        let mut random = SplitMix64::new(seed ^ 0x5eed_7e4d);
        let can = cluster.places.iter().all(|(_, stores)| stores.memory().is_some());
        let left = if can && seed.is_multiple_of(2) { 1 + random.next_u64() % 2 } else { 0 };
        let strike_at = start + Duration::from_millis(3000 + random.next_u64() % 5000);
        Self { random, backups: Vec::new(), copy_at: start, strike_at, left }
    }

    /// Takes a backup from time to time, and goes back to one when it is time.
    pub(crate) async fn step(
        &mut self,
        cluster: &mut Cluster,
        history: &Rc<RefCell<History>>,
        trace: &Trace,
    ) {
        let now = SystemClock.now();
        if self.left == 0 {
            return;
        }
        let place = usize::try_from(self.random.next_u64()).unwrap_or(0) % cluster.places.len();
        if now >= self.copy_at {
            self.copy_at = now + Duration::from_millis(200 + self.random.next_u64() % 1500);
            if let Some(stores) = cluster.places[place].1.memory() {
                self.backups.push((place, stores.copy()));
            }
        }
        if now >= self.strike_at && !cluster.is_unsettled(place) {
            self.left -= 1;
            self.strike_at = now + Duration::from_millis(2500 + self.random.next_u64() % 3000);
            self.go_back(place, cluster, history, trace).await;
        }
    }

    async fn go_back(
        &mut self,
        place: usize,
        cluster: &mut Cluster,
        history: &Rc<RefCell<History>>,
        trace: &Trace,
    ) {
        let members: Vec<usize> =
            (0..cluster.members.len()).filter(|i| cluster.members[*i].place == place).collect();
        for index in &members {
            cluster.crash(*index);
        }
        tokio::time::sleep(SETTLE).await;
        let of_place: Vec<usize> =
            (0..self.backups.len()).filter(|i| self.backups[*i].0 == place).collect();
        // sometimes there is no backup
        let choice = usize::try_from(self.random.next_u64()).unwrap_or(0) % (of_place.len() + 1);
        let copy = of_place.get(choice).map(|index| &self.backups[*index].1);
        trace.say(format!(
            "the journal of {} goes back to backup {choice} of {}",
            cluster.places[place].0,
            of_place.len()
        ));
        let Some(stores) = cluster.places[place].1.memory() else { return };
        stores.restore(copy);
        cluster.user.went_back.insert(place);
        // a backup of the history that was given up would bring back numbers that are used again
        // from now on (docs/restore.md)
        let mut number = 0;
        self.backups.retain(|(of, _)| {
            number += usize::from(*of == place);
            // without a backup the journal is empty, and all its backups are of that history
            *of != place || (choice < of_place.len() && number <= choice + 1)
        });
        let left = Left::of(cluster).await;
        left.forget_the_rest(&mut history.borrow_mut(), trace);
        for index in members {
            cluster.begin_start(index);
        }
    }
}

/// The events that at least one place has after a journal went back.
struct Left {
    lines: BTreeSet<(String, u64)>,
    /// By entity and origin, the most events that a place has.
    own: BTreeMap<(String, ReplicaId), u64>,
}

impl Left {
    async fn of(cluster: &Cluster) -> Self {
        let mut left = Self { lines: BTreeSet::new(), own: BTreeMap::new() };
        for (entity, _, events) in invariants::streams(cluster).await {
            let mut counts: BTreeMap<ReplicaId, u64> = BTreeMap::new();
            for event in events {
                *counts.entry(event.meta.origin.clone()).or_default() += 1;
                let added: Added = CodecId::Bincode.decode(&event.payload.bytes).expect("an event");
                left.lines.insert((entity.clone(), added.line));
            }
            for (origin, count) in counts {
                let most = left.own.entry((entity.clone(), origin)).or_default();
                *most = count.max(*most);
            }
        }
        left
    }

    /// Removes from the history the lines that no place has any more; every other line is still
    /// required.
    fn forget_the_rest(&self, history: &mut History, trace: &Trace) {
        let before = history.acknowledged.len();
        let is_left = |(entity, _, line): &(String, ReplicaId, u64)| {
            self.lines.contains(&(entity.clone(), *line))
        };
        history.acknowledged.retain(is_left);
        trace.say(format!("{} acknowledged lines are lost", before - history.acknowledged.len()));
        for counts in [&mut history.own, &mut history.read] {
            for (key, count) in counts {
                *count = (*count).min(self.own.get(key).copied().unwrap_or(0));
            }
        }
        history.rewinds += 1;
    }
}
