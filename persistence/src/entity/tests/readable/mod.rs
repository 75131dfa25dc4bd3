//! Acknowledged events can be read: after a restart the entity has the same state, or an error
//! names the missing events. A different state never appears.

mod events;
mod snapshots;

use std::fmt::Debug;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{open_writer, parts};
use crate::Result;
use crate::codec::CodecId;
use crate::entity::{
    CommandContext, Effect, EntityHandle, EntityParts, EntityRuntime, EntitySettings, EventContext,
    EventSourced, Signal, StandaloneHost,
};
use crate::event::{Payload, SequenceNr};
use crate::identity::{PersistenceId, ReplicaId, ReplicationId};
use crate::memory::MemoryStores;
use crate::reply::{ReplyError, ReplyTo};
use crate::store::{Snapshot, Stores, WriterId};

/// A value that an entity of these tests can keep.
trait Value: Serialize + DeserializeOwned + Debug + Clone + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Debug + Clone + Send + Sync + 'static> Value for T {}

enum Command<V> {
    Put(V, ReplyTo<usize>),
    Read(ReplyTo<Vec<V>>),
}

/// Keeps every value that a command brings.
#[derive(Clone)]
struct Keeper<V> {
    codec: CodecId,
    snapshot_version: u16,
    /// True when snapshots of version 1 are carried forward.
    adapts: bool,
    signals: Arc<Mutex<Vec<Signal>>>,
    of: PhantomData<fn() -> V>,
}

impl<V: Value> Keeper<V> {
    fn new(codec: CodecId) -> Self {
        let signals = Arc::default();
        Self { codec, snapshot_version: 1, adapts: false, signals, of: PhantomData }
    }

    fn failed_snapshots(&self) -> Vec<String> {
        let signals = self.signals.lock();
        let reason = |signal: &Signal| {
            if let Signal::SnapshotFailed(reason) = signal { Some(reason.clone()) } else { None }
        };
        signals.iter().filter_map(reason).collect()
    }
}

impl<V: Value> EventSourced for Keeper<V> {
    type Command = Command<V>;
    type Event = V;
    type State = Vec<V>;

    fn on_command(&self, _: &CommandContext, state: &Vec<V>, command: Command<V>) -> Effect<Self> {
        match command {
            Command::Put(value, reply_to) => {
                Effect::persist(value).then_reply(reply_to, |state: &Vec<V>| state.len())
            }
            Command::Read(reply_to) => Effect::reply(reply_to, state.clone()),
        }
    }

    fn on_event(&self, _: &EventContext, state: &mut Vec<V>, event: &V) {
        state.push(event.clone());
    }

    fn event_codec(&self) -> CodecId {
        self.codec
    }

    fn snapshot_codec(&self) -> CodecId {
        self.codec
    }

    fn snapshot_version(&self) -> u16 {
        self.snapshot_version
    }

    fn from_snapshot(&self, payload: &Payload) -> Result<Vec<V>> {
        if payload.version == 1 && self.adapts {
            return CodecId::from_stored(payload.codec)?.decode(&payload.bytes);
        }
        crate::entity::reading::state(payload, self.snapshot_version())
    }

    fn on_signal(&self, _: &CommandContext, _: &Vec<V>, signal: &Signal) {
        self.signals.lock().push(signal.clone());
    }
}

/// The stores of a place, under which entities come and go.
struct Place {
    stores: Stores,
    writer: WriterId,
    settings: EntitySettings,
}

impl Place {
    async fn new(settings: EntitySettings) -> Self {
        let stores = MemoryStores::new().stores();
        let writer = open_writer(&stores).await;
        Self { stores, writer, settings }
    }

    fn parts(&self) -> EntityParts {
        parts(&self.stores, self.writer.clone(), Arc::new(StandaloneHost))
    }

    fn start<V: Value>(&self, keeper: &Keeper<V>) -> Entity<V> {
        let parts = self.parts();
        let (keeper, replica) = (keeper.clone(), ReplicaId::new("A").unwrap());
        let factory = move |_: &ReplicationId| keeper.clone();
        let runtime = EntityRuntime::new([replica], factory, self.settings.clone(), parts).unwrap();
        let handle = runtime.spawn(ReplicationId::parse("keeper|k-1|A").unwrap()).unwrap();
        Entity { runtime, handle }
    }

    fn id(&self) -> PersistenceId {
        ReplicationId::parse("keeper|k-1|A").unwrap().persistence_id()
    }

    async fn event_count(&self) -> usize {
        let id = self.id();
        let events = self.stores.journal.replay(&id, SequenceNr::ZERO, SequenceNr::MAX, 100);
        events.await.unwrap().len()
    }

    /// Waits until the journal has so many events: the others were deleted.
    async fn events_left(&self, count: usize) {
        wait_for(&format!("{count} events"), async || self.event_count().await == count).await;
    }

    async fn snapshot(&self) -> Option<Snapshot> {
        self.stores.snapshots.latest_snapshot(&self.id(), SequenceNr::MAX).await.unwrap()
    }
}

struct Entity<V: Value> {
    runtime: EntityRuntime<Keeper<V>>,
    handle: EntityHandle<Keeper<V>>,
}

impl<V: Value> Entity<V> {
    async fn put(&self, value: V) -> std::result::Result<usize, ReplyError> {
        self.handle.ask(|to| Command::Put(value, to)).await
    }

    async fn read(&self) -> std::result::Result<Vec<V>, ReplyError> {
        self.handle.ask(Command::Read).await
    }

    fn counter(&self, name: &str) -> u64 {
        let values = self.runtime.counters().values();
        values.iter().find(|(counter, _)| *counter == name).unwrap().1
    }

    /// Waits until so many snapshots were stored, or could not be stored.
    async fn snapshots_ended(&self, count: u64) {
        let ended = || self.counter("snapshots_saved") + self.counter("snapshots_failed");
        wait_for(&format!("{count} snapshots"), async || ended() == count).await;
    }
}

/// Waits until the condition holds. All work is in memory, so it goes on whenever the test yields.
#[track_caller]
fn wait_for(what: &str, mut holds: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        for _ in 0..100_000 {
            if holds().await {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{caller}: still waiting for {what}");
    }
}

fn every(snapshot_every: u64) -> EntitySettings {
    EntitySettings { snapshot_every, snapshots_keep: 1, delete_events: true, ..Default::default() }
}
