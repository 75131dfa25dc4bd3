//! Listeners of durable events, on actors.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Added, Command, Counter, fixture, fixture_on, quiet, spawn};
use crate::Result;
use crate::entity::{DurableEvent, EntitySettings, EventListener, ListenError};
use crate::event::{EventMeta, Labels, SequenceNr, StoredEvent};
use crate::identity::ReplicaId;
use crate::memory::{Call, Fault, FaultyStores, MemoryStores};
use crate::version::VersionVector;

type Heard = std::result::Result<DurableEvent<Added>, ListenError>;

/// The next event; a listener that waits for ever fails its test.
async fn next(listener: &mut EventListener<Counter>) -> Heard {
    tokio::time::timeout(Duration::from_secs(60), listener.next()).await.expect("it ends")
}

/// Says when an append has begun, and waits until the test ends it.
#[derive(Default)]
struct Slow {
    begun: Notify,
    ends: Notify,
}

#[async_trait]
impl Fault for Slow {
    async fn before(&self, call: Call<'_>) -> Result<()> {
        if matches!(call, Call::Append(..)) {
            self.begun.notify_one();
            self.ends.notified().await;
        }
        Ok(())
    }
}

fn replicated(number: u64, of: &StoredEvent) -> StoredEvent {
    let origin = ReplicaId::new("B").unwrap();
    let mut version = VersionVector::default();
    version.set(&origin, number);
    let meta = EventMeta {
        origin,
        version,
        source_seq: SequenceNr::new(number),
        concurrent: false,
        timestamp: of.meta.timestamp,
        labels: Labels::default(),
    };
    StoredEvent { sequence_nr: SequenceNr::new(number), meta, payload: of.payload.clone() }
}

#[tokio::test(start_paused = true)]
async fn a_listener_hears_own_events_and_those_of_other_replicas_in_the_order_of_the_journal() {
    let fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(1));
    let mut listener = fixture.runtime.listen();
    assert_eq!(entity.ask(|to| Command::Add(2, to)).await, Ok(3));
    let own = fixture.host.published.lock()[0].clone();
    assert!(entity.replicated(vec![replicated(1, &own)]));
    let mut heard = Vec::new();
    for _ in 0..2 {
        let durable = next(&mut listener).await.unwrap();
        let (origin, number) = (durable.meta.origin.as_str().to_owned(), durable.sequence_nr);
        heard.push((durable.id.to_string(), number.value(), origin, durable.event.0));
    }
    let id = "counter|c-1|A".to_owned();
    let expected = [(id.clone(), 2, "A".to_owned(), 2), (id, 3, "B".to_owned(), 1)];
    assert_eq!(heard, expected, "from the moment on at which it began to listen");
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_is_behind_is_told_what_it_missed_and_nobody_waits_for_it() {
    let fixture = fixture(EntitySettings { listener_appends_max: 2, ..quiet() }).await;
    let entity = spawn(&fixture);
    let mut listener = fixture.runtime.listen();
    for sum in 1..=5 {
        assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(sum));
    }
    assert_eq!(
        next(&mut listener).await.map(|durable| durable.event.0),
        Err(ListenError::Missed(3))
    );
    assert_eq!(next(&mut listener).await.unwrap().sequence_nr, SequenceNr::new(4));
    let missed = fixture.runtime.counters().listener_appends_missed.load(Ordering::Relaxed);
    assert_eq!(missed, 3);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_loses_no_event() {
    let fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    let mut listener = fixture.runtime.listen();
    tokio::select! {
        biased;
        heard = listener.next() => panic!("nothing was written: {heard:?}"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(entity.ask(|to| Command::Add(7, to)).await, Ok(7));
    assert_eq!(next(&mut listener).await.unwrap().event.0, 7);
}

#[tokio::test(start_paused = true)]
async fn events_whose_append_had_begun_before_somebody_listened_are_told_as_missed() {
    let slow = Arc::new(Slow::default());
    let stores = FaultyStores::behind(slow.clone(), MemoryStores::new().stores());
    let fixture = fixture_on(quiet(), stores).await;
    let entity = spawn(&fixture);
    let listens = async {
        slow.begun.notified().await;
        let listener = fixture.runtime.listen();
        slow.ends.notify_one();
        listener
    };
    let (answer, mut listener) = tokio::join!(entity.ask(|to| Command::Add(3, to)), listens);
    assert_eq!(answer, Ok(3));
    assert_eq!(
        next(&mut listener).await.map(|durable| durable.event.0),
        Err(ListenError::Missed(1))
    );
    slow.ends.notify_one();
    assert_eq!(entity.ask(|to| Command::Add(4, to)).await, Ok(7));
    assert_eq!(next(&mut listener).await.unwrap().event.0, 4);
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_a_type_that_has_ended_is_told() {
    let fixture = fixture(quiet()).await;
    let mut listener = fixture.runtime.listen();
    let waiting = async { next(&mut listener).await.map(|durable| durable.event.0) };
    let closing = async {
        tokio::task::yield_now().await;
        fixture.runtime.close_listeners();
    };
    let (ended, ()) = tokio::join!(waiting, closing);
    assert_eq!(ended, Err(ListenError::Ended));
}
