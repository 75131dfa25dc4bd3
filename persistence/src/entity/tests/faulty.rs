//! Entities on stores that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Command, Counter, fixture_on, quiet, spawn};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{PersistenceId, ReplicationId};
use crate::memory::MemoryStores;
use crate::reply::ReplyError;
use crate::shape::{ShapeBook, kinds};
use crate::store::{
    Append, CasOutcome, Coordination, FencedOutcome, FencingToken, Journal, Row, RowVersion,
    Stores, TableRows, WriterId,
};
use crate::{Error, Result};

/// A journal that refuses the next appends.
struct Refusing {
    journal: Arc<dyn Journal>,
    refusals: AtomicUsize,
}

#[async_trait]
impl Journal for Refusing {
    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        self.journal.open_writer(writer).await
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        let left = self.refusals.load(Ordering::Acquire);
        if left > 0 {
            self.refusals.store(left - 1, Ordering::Release);
            return Err(Error::unavailable("the test wants it"));
        }
        self.journal.append(writer, append).await
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        self.journal.seal(writer).await
    }

    async fn replay(
        &self,
        id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.journal.replay(id, first, last, event_count_max).await
    }

    async fn highest(&self, id: &PersistenceId) -> Result<SequenceNr> {
        self.journal.highest(id).await
    }

    async fn delete_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.journal.delete_to(id, last).await
    }
}

/// A coordination store that can be read, and whose writes end with an unknown outcome.
struct Late(Arc<dyn Coordination>);

#[async_trait]
impl Coordination for Late {
    async fn scan(&self, table: &str) -> Result<TableRows> {
        self.0.scan(table).await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        self.0.read(table, key).await
    }

    async fn compare_and_set(
        &self,
        _: &str,
        _: &str,
        _: Option<RowVersion>,
        _: Option<Bytes>,
    ) -> Result<CasOutcome> {
        Err(Error::timeout("the test wants it"))
    }

    async fn raise_token(&self, _: &str, _: FencingToken) -> Result<FencingToken> {
        Err(Error::timeout("the test wants it"))
    }

    async fn put_fenced(
        &self,
        _: &str,
        _: FencingToken,
        _: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        Err(Error::timeout("the test wants it"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_ends_when_its_entity_starts_again() {
    let stores = MemoryStores::new().stores();
    let refusing = Refusing { journal: stores.journal.clone(), refusals: AtomicUsize::new(0) };
    let refusing = Arc::new(refusing);
    let fixture = fixture_on(quiet(), Stores { journal: refusing.clone(), ..stores }).await;
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
    let coordination = Arc::new(Late(stores.coordination.clone()));
    let shapes = ShapeBook::new("counter".into(), kinds(&Arc::new(Counter)), coordination);
    let mut fixture = fixture_on(quiet(), stores).await;
    fixture.runtime = fixture.runtime.with_shapes(shapes);
    let entity = spawn(&fixture);
    let error = entity.ask(|to| Command::Add(1, to)).await.unwrap_err();
    assert!(error.is_without_effect(), "the journal was never asked: {error}");
}
