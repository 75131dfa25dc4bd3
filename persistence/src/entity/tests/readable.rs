//! What is acknowledged can be read: after a restart the state is there, or an error names what is missing, and never another value.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::CodecId;
use crate::entity::{
    CommandContext, Effect, EntityHandle, EntityParts, EntityRuntime, EntitySettings, EventContext,
    EventSourced, Signal, StandaloneHost,
};
use crate::event::{Payload, SequenceNr};
use crate::identity::{PersistenceId, ReplicaId, ReplicationId};
use crate::memory::MemoryStores;
use crate::reply::{ReplyError, ReplyTo};
use crate::store::{Snapshot, SnapshotStore, Stores, WriterId};
use crate::time::SystemClock;
use crate::{Error, Result};

/// What an entity of these tests can keep.
trait Value: Serialize + DeserializeOwned + Debug + Clone + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Debug + Clone + Send + Sync + 'static> Value for T {}

enum Command<V> {
    Put(V, ReplyTo<usize>),
    Read(ReplyTo<Vec<V>>),
}

/// Keeps every value that it was given.
#[derive(Clone)]
struct Keeper<V> {
    codec: CodecId,
    snapshot_version: u16,
    /// A snapshot of version 1 is carried forward.
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
        let signals = self.signals.lock().unwrap();
        let reason = |signal: &Signal| match signal {
            Signal::SnapshotFailed(reason) => Some(reason.clone()),
            Signal::RecoveryCompleted | Signal::SnapshotSaved(_) => None,
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
        super::super::reading::state(self, payload)
    }

    fn on_signal(&self, _: &CommandContext, _: &Vec<V>, signal: &Signal) {
        self.signals.lock().unwrap().push(signal.clone());
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
        let writer = WriterId::new("node@1").unwrap();
        stores.journal.open_writer(&writer).await.unwrap();
        Self { stores, writer, settings }
    }

    fn start<V: Value>(&self, keeper: &Keeper<V>) -> Entity<V> {
        let parts = EntityParts {
            journal: self.stores.journal.clone(),
            snapshots: self.stores.snapshots.clone(),
            writer: self.writer.clone(),
            peers: BTreeMap::new(),
            clock: Arc::new(SystemClock),
            host: Arc::new(StandaloneHost),
            coordination: None,
        };
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

    /// Lets what is under way end: it is all in memory.
    async fn settle(&self) {
        self.read().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

fn every(snapshot_every: u64) -> EntitySettings {
    EntitySettings { snapshot_every, snapshots_keep: 1, delete_events: true, ..Default::default() }
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_million_small_numbers_survives_a_restart() {
    let place = Place::new(EntitySettings::default()).await;
    let keeper = Keeper::new(CodecId::Bincode);
    let numbers: Vec<u64> = vec![7; 1_100_000];
    assert_eq!(place.start(&keeper).put(numbers.clone()).await, Ok(1));
    assert_eq!(place.start(&keeper).read().await, Ok(vec![numbers]));
}

#[tokio::test(start_paused = true)]
async fn an_event_over_the_limit_is_rejected_and_the_entity_goes_on() {
    let place = Place::new(EntitySettings::default()).await;
    let entity = place.start(&Keeper::new(CodecId::Bincode));
    let refused = entity.put("x".repeat(9_000_000)).await.unwrap_err();
    assert!(matches!(&refused, ReplyError::Rejected(why) if why.contains("bytes")), "{refused}");
    assert_eq!(entity.put("y".to_owned()).await, Ok(1));
    assert_eq!(entity.counter("events_rejected"), 1);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Skips {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    amount: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Amount { amount: u32 },
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Amount { amount: u32 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    amount: u32,
    #[serde(flatten)]
    rest: BTreeMap<String, u32>,
}

/// Refused with bincode before anything is stored, with the type and the remedy; kept by the codecs with names.
async fn needs_names<V: Value + PartialEq>(value: V) {
    let place = Place::new(EntitySettings::default()).await;
    let entity = place.start(&Keeper::new(CodecId::Bincode));
    let ReplyError::Rejected(why) = entity.put(value.clone()).await.unwrap_err() else {
        panic!("another error than `Rejected`")
    };
    let type_name = std::any::type_name::<V>();
    assert!(why.contains(type_name) && why.contains("event_codec"), "{why}");
    assert_eq!((place.event_count().await, entity.read().await), (0, Ok(vec![])), "{why}");

    for codec in [CodecId::Cbor, CodecId::Json] {
        let place = Place::new(EntitySettings::default()).await;
        assert_eq!(place.start(&Keeper::new(codec)).put(value.clone()).await, Ok(1), "{codec:?}");
        assert_eq!(place.start(&Keeper::new(codec)).read().await, Ok(vec![value.clone()]));
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_bincode_cannot_read_are_rejected_with_the_type_and_the_remedy() {
    needs_names(Skips { note: None, amount: 3 }).await;
    needs_names(Untagged::Text("x".into())).await;
    needs_names(Tagged::Amount { amount: 3 }).await;
    needs_names(Flat { amount: 3, rest: BTreeMap::new() }).await;
    needs_names(serde_json::json!({ "amount": 3 })).await;
}

/// Written as `(x, y)`, read as `(y, x)`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "(u8, u8)")]
struct Swapped {
    x: u8,
    y: u8,
}

impl From<(u8, u8)> for Swapped {
    fn from((y, x): (u8, u8)) -> Self {
        Self { x, y }
    }
}

impl Serialize for Swapped {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        (self.x, self.y).serialize(serializer)
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_read_as_another_value_is_rejected() {
    for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
        let place = Place::new(EntitySettings::default()).await;
        let entity = place.start(&Keeper::new(codec));
        let refused = entity.put(Swapped { x: 3, y: 4 }).await.unwrap_err();
        assert!(refused.to_string().contains("read as another value"), "{refused}");
        assert_eq!(place.event_count().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_map_without_an_order_is_stored_and_snapshots_too() {
    for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
        let place = Place::new(every(1)).await;
        let keeper = Keeper::new(codec);
        let map: HashMap<String, u32> = (0..50).map(|n| (format!("key-{n}"), n)).collect();
        let entity = place.start(&keeper);
        assert_eq!(entity.put(map.clone()).await, Ok(1));
        entity.settle().await;
        assert!(place.snapshot().await.is_some(), "{:?}", keeper.failed_snapshots());
        assert_eq!(place.start(&keeper).read().await, Ok(vec![map]));
    }
}

/// What an old release knows, and what a new one writes as version 2: the other way round.
#[tokio::test(start_paused = true)]
async fn an_event_of_a_version_that_is_not_known_is_never_read_as_one_of_today() {
    for (manifest, version) in [("", 2), ("moved", 1)] {
        let place = Place::new(EntitySettings::default()).await;
        let keeper = Keeper::<(u8, u8)>::new(CodecId::Bincode);
        place.start(&keeper).put((3, 4)).await.unwrap();
        let mut event = place
            .stores
            .journal
            .replay(&place.id(), SequenceNr::ZERO, SequenceNr::MAX, 1)
            .await
            .unwrap()
            .remove(0);
        let newer = Place::new(EntitySettings::default()).await;
        (event.payload.manifest, event.payload.version) = (manifest.into(), version);
        let append = crate::store::Append {
            persistence_id: place.id(),
            expected: SequenceNr::ZERO,
            events: vec![event],
        };
        newer.stores.journal.append(&newer.writer, append).await.unwrap();

        let error = newer.start(&keeper).read().await.unwrap_err().to_string();
        assert!(error.contains(&format!("actual {manifest:?}, {version}")), "{error}");
        assert!(error.contains("from_journal"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn nine_titles_of_a_megabyte_survive_the_deletion_of_their_events() {
    let place = Place::new(every(1)).await;
    let keeper = Keeper::new(CodecId::Bincode);
    let entity = place.start(&keeper);
    for title in 0..9 {
        assert_eq!(entity.put(title.to_string().repeat(1_000_000)).await, Ok(title + 1));
        entity.settle().await;
    }
    assert_eq!(place.event_count().await, 0);
    let titles = place.start(&keeper).read().await.unwrap();
    assert_eq!(titles.iter().map(|title| &title[..1]).collect::<String>(), "012345678");
}

#[tokio::test(start_paused = true)]
async fn a_state_over_the_limit_is_not_stored_and_its_events_stay() {
    let place = Place::new(every(68)).await;
    let keeper = Keeper::new(CodecId::Bincode);
    let entity = place.start(&keeper);
    for number in 0..68 {
        assert_eq!(entity.put("x".repeat(1_000_000)).await, Ok(number + 1));
    }
    entity.settle().await;
    let failed = keeper.failed_snapshots();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].contains("67108864 bytes") && failed[0].contains("String"), "{failed:?}");
    assert_eq!(entity.counter("snapshots_failed"), 1);
    assert!(place.snapshot().await.is_none());
    assert_eq!(place.start(&keeper).read().await.map(|titles| titles.len()), Ok(68));
}

#[tokio::test(start_paused = true)]
async fn a_state_of_a_million_small_numbers_survives_the_deletion_of_its_events() {
    let place = Place::new(every(1)).await;
    let keeper = Keeper::new(CodecId::Bincode);
    let entity = place.start(&keeper);
    for _ in 0..3 {
        entity.put(vec![7_u64; 400_000]).await.unwrap();
        entity.settle().await;
    }
    assert_eq!(place.event_count().await, 0);
    let numbers = place.start(&keeper).read().await.unwrap();
    assert_eq!(numbers.iter().map(Vec::len).sum::<usize>(), 1_200_000);
}

/// A state that cannot be read back: the events are kept.
#[tokio::test(start_paused = true)]
async fn a_state_that_is_read_as_another_value_is_not_stored_and_nothing_is_deleted() {
    /// Forgets at reading what was written.
    #[derive(Debug, Clone, Default, Serialize, Deserialize)]
    struct Forgetful {
        #[serde(skip_deserializing)]
        sum: u32,
    }
    struct Adder(Arc<Mutex<Vec<Signal>>>);
    impl EventSourced for Adder {
        type Command = ReplyTo<u32>;
        type Event = u32;
        type State = Forgetful;
        fn on_command(&self, _: &CommandContext, _: &Forgetful, to: ReplyTo<u32>) -> Effect<Self> {
            Effect::persist(5).then_reply(to, |state: &Forgetful| state.sum)
        }
        fn on_event(&self, _: &EventContext, state: &mut Forgetful, event: &u32) {
            state.sum += event;
        }
        fn snapshot_codec(&self) -> CodecId {
            CodecId::Cbor
        }
        fn on_signal(&self, _: &CommandContext, _: &Forgetful, signal: &Signal) {
            self.0.lock().unwrap().push(signal.clone());
        }
    }
    let place = Place::new(every(1)).await;
    let signals = Arc::new(Mutex::new(Vec::new()));
    let told = signals.clone();
    let parts = EntityParts {
        journal: place.stores.journal.clone(),
        snapshots: place.stores.snapshots.clone(),
        writer: place.writer.clone(),
        peers: BTreeMap::new(),
        clock: Arc::new(SystemClock),
        host: Arc::new(StandaloneHost),
        coordination: None,
    };
    let factory = move |_: &ReplicationId| Adder(told.clone());
    let replica = ReplicaId::new("A").unwrap();
    let runtime = EntityRuntime::new([replica], factory, every(1), parts).unwrap();
    let id = ReplicationId::parse("keeper|k-1|A").unwrap();
    let entity = runtime.spawn(id.clone()).unwrap();
    assert_eq!(entity.ask(|to| to).await, Ok(5));
    assert_eq!(entity.ask(|to| to).await, Ok(10));
    assert!(place.snapshot().await.is_none());
    assert_eq!(place.event_count().await, 2);
    let told = format!("{:?}", signals.lock().unwrap());
    assert!(told.contains("read as another value") && told.contains("Forgetful"), "{told}");
    assert_eq!(runtime.spawn(id).unwrap().ask(|to| to).await, Ok(15));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_another_version_is_refused_when_its_events_are_gone() {
    let place = Place::new(every(1)).await;
    let old = Keeper::<u8>::new(CodecId::Bincode);
    let entity = place.start(&old);
    entity.put(1).await.unwrap();
    entity.put(2).await.unwrap();
    entity.settle().await;
    assert_eq!(place.event_count().await, 0);

    let mut new = Keeper::<u8>::new(CodecId::Bincode);
    new.snapshot_version = 2;
    let entity = place.start(&new);
    let error = entity.read().await.unwrap_err().to_string();
    assert!(error.contains("the events 1 to 2 are not in the journal"), "{error}");
    assert!(error.contains("snapshot 2") && error.contains("`from_snapshot`"), "{error}");
    assert_eq!(entity.counter("snapshots_passed_over"), 1);

    new.adapts = true;
    assert_eq!(place.start(&new).read().await, Ok(vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_another_version_is_passed_over_when_its_events_are_there() {
    let place = Place::new(EntitySettings { delete_events: false, ..every(1) }).await;
    let entity = place.start(&Keeper::<u8>::new(CodecId::Bincode));
    entity.put(1).await.unwrap();
    entity.put(2).await.unwrap();
    entity.settle().await;

    let mut new = Keeper::<u8>::new(CodecId::Bincode);
    new.snapshot_version = 2;
    let entity = place.start(&new);
    assert_eq!(entity.read().await, Ok(vec![1, 2]));
    assert_eq!(entity.counter("snapshots_passed_over"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_read_is_passed_over_for_an_older_one() {
    let settings = EntitySettings { snapshots_keep: 2, ..every(2) };
    let place = Place::new(settings).await;
    let keeper = Keeper::<u8>::new(CodecId::Bincode);
    let entity = place.start(&keeper);
    for number in 1..=5 {
        entity.put(number).await.unwrap();
        entity.settle().await;
    }
    assert_eq!(place.event_count().await, 3, "those that both snapshots have are deleted");
    let mut newest = place.snapshot().await.unwrap();
    assert_eq!(newest.sequence_nr, SequenceNr::new(4));
    newest.state.bytes = Bytes::from_static(&[9, 1]);
    place.stores.snapshots.save_snapshot(&place.id(), &newest).await.unwrap();

    let entity = place.start(&keeper);
    assert_eq!(entity.read().await, Ok(vec![1, 2, 3, 4, 5]));
    assert_eq!(entity.counter("snapshots_passed_over"), 1);

    // and with the older one gone, what is missing is named
    place.stores.snapshots.delete_snapshots_to(&place.id(), SequenceNr::new(3)).await.unwrap();
    let error = place.start(&keeper).read().await.unwrap_err().to_string();
    assert!(error.contains("the events 1 to 2 are not in the journal"), "{error}");
    assert!(error.contains("snapshot 4"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_journal_whose_events_and_snapshots_are_gone_is_no_new_entity() {
    let place = Place::new(every(0)).await;
    let keeper = Keeper::<u8>::new(CodecId::Bincode);
    place.start(&keeper).put(1).await.unwrap();
    place.stores.journal.delete_to(&place.id(), SequenceNr::MAX).await.unwrap();
    let error = place.start(&keeper).read().await.unwrap_err().to_string();
    assert!(error.contains("the events 1 to 1 are not in the journal"), "{error}");
    assert!(error.contains("no snapshot has them"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_beyond_the_journal_is_an_error() {
    let place = Place::new(every(1)).await;
    let keeper = Keeper::<u8>::new(CodecId::Bincode);
    let entity = place.start(&keeper);
    entity.put(1).await.unwrap();
    entity.settle().await;
    let snapshot = place.snapshot().await.unwrap();

    let other = Place::new(every(1)).await;
    other.stores.snapshots.save_snapshot(&other.id(), &snapshot).await.unwrap();
    let error = other.start(&keeper).read().await.unwrap_err().to_string();
    assert!(error.contains("the journal has lost events"), "{error}");
}

/// A store that loses a byte of each snapshot.
struct Careless(Arc<dyn SnapshotStore>);

#[async_trait]
impl SnapshotStore for Careless {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        let mut snapshot = snapshot.clone();
        let bytes = &mut snapshot.state.bytes;
        *bytes = bytes.slice(..bytes.len() - 1);
        self.0.save_snapshot(id, &snapshot).await
    }

    async fn latest_snapshot(
        &self,
        id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        self.0.latest_snapshot(id, last).await
    }

    async fn delete_snapshots_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        assert_eq!(last, SequenceNr::ZERO, "`{id}`: nothing is deleted");
        Err(Error::unavailable("not here"))
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_for_a_snapshot_that_the_store_gives_back_changed() {
    let mut place = Place::new(every(1)).await;
    place.stores.snapshots = Arc::new(Careless(place.stores.snapshots.clone()));
    let keeper = Keeper::<u8>::new(CodecId::Bincode);
    let entity = place.start(&keeper);
    entity.put(1).await.unwrap();
    entity.put(2).await.unwrap();
    entity.settle().await;
    assert_eq!(place.event_count().await, 2);
    let failed = keeper.failed_snapshots();
    assert!(failed.iter().all(|why| why.contains("read back as another one")), "{failed:?}");
    assert_eq!(entity.counter("snapshots_failed"), 2);
    assert_eq!(place.start(&keeper).read().await, Ok(vec![1, 2]));
}
