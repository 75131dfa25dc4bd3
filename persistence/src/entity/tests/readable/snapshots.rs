//! Snapshots: nothing is lost to one that cannot be used.

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;

use super::*;
use crate::Error;
use crate::store::SnapshotStore;

#[tokio::test(start_paused = true)]
async fn nine_titles_of_a_megabyte_survive_the_deletion_of_their_events() {
    let place = Place::new(every(1)).await;
    let keeper = Keeper::new(CodecId::Bincode);
    let entity = place.start(&keeper);
    for title in 0..9 {
        assert_eq!(entity.put(title.to_string().repeat(1_000_000)).await, Ok(title + 1));
        entity.snapshots_ended(title as u64 + 1).await;
    }
    place.events_left(0).await;
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
    entity.snapshots_ended(1).await;
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
    for count in 1..=3 {
        entity.put(vec![7_u64; 400_000]).await.unwrap();
        entity.snapshots_ended(count).await;
    }
    place.events_left(0).await;
    let numbers = place.start(&keeper).read().await.unwrap();
    assert_eq!(numbers.iter().map(Vec::len).sum::<usize>(), 1_200_000);
}

/// Events are kept when the state cannot be read back.
#[tokio::test(start_paused = true)]
async fn a_state_that_is_read_as_another_value_is_not_stored_and_nothing_is_deleted() {
    /// A state whose sum is written and not read.
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
            self.0.lock().push(signal.clone());
        }
    }
    let place = Place::new(every(1)).await;
    let signals = Arc::new(Mutex::new(Vec::new()));
    let told = signals.clone();
    let factory = move |_: &ReplicationId| Adder(told.clone());
    let replica = ReplicaId::new("A").unwrap();
    let runtime = EntityRuntime::new([replica], factory, every(1), place.parts()).unwrap();
    let id = ReplicationId::parse("keeper|k-1|A").unwrap();
    let entity = runtime.spawn(id.clone()).unwrap();
    assert_eq!(entity.ask(|to| to).await, Ok(5));
    assert_eq!(entity.ask(|to| to).await, Ok(10));
    assert!(place.snapshot().await.is_none());
    assert_eq!(place.event_count().await, 2);
    let told = format!("{:?}", signals.lock());
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
    place.events_left(0).await;

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
    entity.snapshots_ended(2).await;

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
        entity.snapshots_ended(u64::from(number) / 2).await;
    }
    // the events that both snapshots have are deleted
    place.events_left(3).await;
    let mut newest = place.snapshot().await.unwrap();
    assert_eq!(newest.sequence_nr, SequenceNr::new(4));
    newest.state.bytes = Bytes::from_static(&[9, 1]);
    place.stores.snapshots.save_snapshot(&place.id(), &newest).await.unwrap();

    let entity = place.start(&keeper);
    assert_eq!(entity.read().await, Ok(vec![1, 2, 3, 4, 5]));
    assert_eq!(entity.counter("snapshots_passed_over"), 1);

    // when only the unreadable snapshot is left, the error names the missing events
    place.stores.snapshots.delete_snapshots_to(&place.id(), SequenceNr::MAX).await.unwrap();
    place.stores.snapshots.save_snapshot(&place.id(), &newest).await.unwrap();
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
    entity.snapshots_ended(1).await;
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
    entity.snapshots_ended(2).await;
    assert_eq!(place.event_count().await, 2);
    let failed = keeper.failed_snapshots();
    assert!(failed.iter().all(|why| why.contains("read back as another one")), "{failed:?}");
    assert_eq!(entity.counter("snapshots_failed"), 2);
    assert_eq!(place.start(&keeper).read().await, Ok(vec![1, 2]));
}
