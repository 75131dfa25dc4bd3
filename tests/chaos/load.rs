//! Clients that add to sets and counters and read them, at both places through all nodes, and the
//! record of their answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon_base::task;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_runtime::transport::memory::SplitMix64;
use antiphon_tests::history::{Answer, History, Kind, Operation, Seen};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::nodes::PLACES;

/// Sets and counters that are used at the same time.
pub(crate) const SETS: u64 = 4;
const COUNTERS: u64 = 2;

/// The entities of a group, with their types.
pub(crate) fn entities(group: u32) -> Vec<(&'static str, String)> {
    let sets = (0..SETS).map(|number| ("watch-list", format!("s-{group}-{number}")));
    sets.chain((0..COUNTERS).map(|number| ("counter", format!("c-{group}-{number}")))).collect()
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    pause: AtomicBool,
    busy: AtomicU64,
    group: AtomicU32,
    next_id: AtomicU32,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    history: Mutex<History>,
    addresses: Mutex<Vec<(usize, usize, String)>>,
}

/// All clients of a run.
pub(crate) struct Load {
    shared: Arc<Shared>,
    start: Instant,
    tasks: Vec<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> parking_lot::MutexGuard<'_, T> {
    mutex.lock()
}

fn micros(start: Instant) -> u64 {
    u64::try_from((SystemClock.now() - start).as_micros()).unwrap_or(u64::MAX)
}

impl Load {
    pub(crate) fn start(seed: u64, clients: u64) -> Self {
        let start = SystemClock.now();
        let shared: Arc<Shared> = Arc::default();
        shared.pause.store(true, Ordering::SeqCst);
        let tasks = (0..clients)
            .map(|number| {
                let random = SplitMix64::new(seed.wrapping_mul(31).wrapping_add(number));
                task::spawn("client", client(shared.clone(), random, start))
            })
            .collect();
        Self { shared, start, tasks }
    }

    /// Microseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        micros(self.start)
    }

    pub(crate) fn addresses(&self, addresses: Vec<(usize, usize, String)>) {
        *lock(&self.shared.addresses) = addresses;
    }

    /// Continues with other entities and a new history. Returns the history so far.
    pub(crate) fn next_group(&self) -> History {
        self.shared.group.fetch_add(1, Ordering::SeqCst);
        std::mem::take(&mut *lock(&self.shared.history))
    }

    pub(crate) fn group(&self) -> u32 {
        self.shared.group.load(Ordering::SeqCst)
    }

    pub(crate) fn history<T>(&self, look: impl FnOnce(&mut History) -> T) -> T {
        look(&mut lock(&self.shared.history))
    }

    /// The number of operations that were answered, and of those that were not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (count(&self.shared.acknowledged), count(&self.shared.failed))
    }

    pub(crate) fn go_on(&self) {
        self.shared.pause.store(false, Ordering::SeqCst);
    }

    /// Waits until no operation is in flight, and lets no operation begin.
    pub(crate) async fn pause(&self) {
        self.shared.pause.store(true, Ordering::SeqCst);
        while self.shared.busy.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn stop(self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

async fn client(shared: Arc<Shared>, mut random: SplitMix64, start: Instant) {
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    while !shared.stop.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5 + random.next_u64() % 30)).await;
        shared.busy.fetch_add(1, Ordering::SeqCst);
        // read after this operation was counted as busy, so that `pause` waits for it
        if !shared.pause.load(Ordering::SeqCst) {
            operation(&shared, &mut random, start, &mut clients).await;
        }
        shared.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn operation(
    shared: &Shared,
    random: &mut SplitMix64,
    start: Instant,
    clients: &mut BTreeMap<String, Client>,
) {
    let addresses = lock(&shared.addresses).clone();
    let mut pick =
        |count: usize| usize::try_from(random.next_u64() % count.max(1) as u64).unwrap_or_default();
    let Some((_, _, address)) = addresses.get(pick(addresses.len())).cloned() else { return };
    let (replica, is_read) = (PLACES[pick(PLACES.len())], pick(10) < 3);
    let mut entities = entities(shared.group.load(Ordering::SeqCst));
    let (entity_type, entity) = entities.swap_remove(pick(entities.len()));
    let client = clients.entry(address.clone()).or_insert_with_key(|address| {
        Client::new(address.clone()).with_timeout(Duration::from_secs(6))
    });
    let (path, headers) =
        (format!("/entities/{entity_type}/{entity}"), [("antiphon-replica", replica)]);
    let invoked = micros(start);
    let kind = if is_read {
        Kind::Read(answer(client.get(&path, &headers).await, seen))
    } else {
        let id = shared.next_id.fetch_add(1, Ordering::SeqCst);
        let body = match entity_type {
            "counter" => json!({ "add": 1 }),
            _ => json!({ "add": id.to_string() }),
        };
        let position = |value: Value| value.as_u64();
        Kind::Add { id, answer: answer(client.post(&path, &headers, &body).await, position) }
    };
    let operation =
        Operation { entity, replica: replica.to_owned(), invoked, ended: micros(start), kind };
    let count = if operation.position().is_some() {
        &shared.acknowledged
    } else {
        // a wait, so that a node that is down is not asked all the time
        clients.remove(&address);
        tokio::time::sleep(Duration::from_millis(20)).await;
        &shared.failed
    };
    count.fetch_add(1, Ordering::Relaxed);
    lock(&shared.history).operations.push(operation);
}

fn seen(value: Value) -> Option<Seen> {
    if let Some(count) = value.as_u64() {
        return Some(Seen::Count(count));
    }
    let ids: Option<Vec<u32>> =
        value.as_array()?.iter().map(|title| title.as_str()?.parse().ok()).collect();
    let mut ids = ids?;
    ids.sort_unstable();
    Some(Seen::Ids(ids))
}

fn answer<T>(
    answered: antiphon_runtime::Result<(impl Into<u16>, impl AsRef<[u8]>)>,
    read: impl FnOnce(Value) -> Option<T>,
) -> Answer<T> {
    let (status, body): (u16, _) = match answered {
        Ok((status, body)) => (status.into(), body),
        Err(error) => return Answer::Unknown(error.to_string()),
    };
    let value: Value = serde_json::from_slice(body.as_ref()).unwrap_or_default();
    if status == 200 {
        let text = format!("an answer that cannot be read: {value}");
        return read(value).map_or(Answer::Unknown(text), Answer::Ok);
    }
    let why = format!("{status} {}", value["error"].as_str().unwrap_or_default());
    if value["without_effect"] == true { Answer::WithoutEffect(why) } else { Answer::Unknown(why) }
}
