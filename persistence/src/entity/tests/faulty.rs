//! Entities on stores that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Command, Counter, fixture_on, quiet, spawn};
use crate::entity::EntitySettings;
use crate::identity::ReplicationId;
use crate::memory::{Call, Fault, FaultyStores, MemoryStores};
use crate::reply::ReplyError;
use crate::shape::{ShapeBook, kinds};
use crate::{Error, Result};

/// Refuses the next appends.
#[derive(Default)]
struct Refusing {
    refusals: AtomicUsize,
}

#[async_trait]
impl Fault for Refusing {
    async fn before(&self, call: Call<'_>) -> Result<()> {
        let left = self.refusals.load(Ordering::Acquire);
        if matches!(call, Call::Append(..)) && left > 0 {
            self.refusals.store(left - 1, Ordering::Release);
            return Err(Error::unavailable("the test wants it"));
        }
        Ok(())
    }
}

/// Holds up the saves of snapshots.
#[derive(Default)]
struct Slow {
    begun: Notify,
    goes_on: Notify,
}

#[async_trait]
impl Fault for Slow {
    async fn before(&self, call: Call<'_>) -> Result<()> {
        if matches!(call, Call::SaveSnapshot(..)) {
            self.begun.notify_one();
            self.goes_on.notified().await;
        }
        Ok(())
    }
}

/// Ends writes with an unknown outcome.
struct Late;

#[async_trait]
impl Fault for Late {
    async fn before(&self, call: Call<'_>) -> Result<()> {
        if call.is_write() { Err(Error::timeout("the test wants it")) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_ends_when_its_entity_starts_again() {
    let stores = MemoryStores::new().stores();
    let refusing = Arc::new(Refusing::default());
    let fixture = fixture_on(quiet(), FaultyStores::behind(refusing.clone(), stores)).await;
    let entity = spawn(&fixture);
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(1));
    let other = fixture.runtime.spawn(ReplicationId::parse("counter|c-1|B").unwrap()).unwrap();
    assert_eq!(other.ask(|to| Command::Add(2, to)).await, Ok(2));
    let mut events = fixture.host.published.lock().clone();
    events.retain(|event| event.meta.origin.as_str() == "B");

    let forever = tokio::time::timeout(Duration::from_secs(1), entity.ask(Command::Forever));
    let restart = async {
        refusing.refusals.store(1, Ordering::Release);
        entity.replicated(events);
    };
    let (answer, ()) = tokio::join!(forever, restart);
    assert_eq!(answer, Ok(Err(ReplyError::NoReply)), "long before `asynchronous_timeout`");
    assert_eq!(fixture.runtime.counters().restarts.load(Ordering::Relaxed), 1);
    assert_eq!(entity.ask(|to| Command::Add(3, to)).await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn an_append_before_which_a_shape_could_not_be_recorded_is_without_effect() {
    let stores = MemoryStores::new().stores();
    let coordination = FaultyStores::behind(Arc::new(Late), stores.clone()).coordination;
    let shapes = ShapeBook::new("counter".into(), kinds(&Arc::new(Counter)), coordination);
    let mut fixture = fixture_on(quiet(), stores).await;
    fixture.runtime = fixture.runtime.with_shapes(shapes);
    let entity = spawn(&fixture);
    let error = entity.ask(|to| Command::Add(1, to)).await.unwrap_err();
    assert!(error.is_without_effect(), "the journal was never asked: {error}");
}

#[tokio::test(start_paused = true)]
async fn the_successor_of_an_entity_waits_for_the_snapshot_under_way() {
    let slow = Arc::new(Slow::default());
    let stores = FaultyStores::behind(slow.clone(), MemoryStores::new().stores());
    let fixture = fixture_on(EntitySettings { snapshot_every: 1, ..quiet() }, stores).await;
    let entity = spawn(&fixture);
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(1));
    slow.begun.notified().await;
    let writes = entity.writes.clone();
    entity.kill();
    assert_eq!(writes.count(), 1, "the store may still take it");
    slow.goes_on.notify_one();
    writes.none().await;
}
