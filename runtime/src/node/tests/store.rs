//! The stores of one node, which can be taken away from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{
    Append, CasOutcome, Coordination, FencedOutcome, FencingToken, Journal, Row, RowVersion,
    Stores, TableRows, WriterId,
};
use async_trait::async_trait;
use bytes::Bytes;

use crate::membership::{MEMBERS, MemberRow};
use crate::{Error, Result};

/// The way of a node to its stores: faults that a test switches on.
#[derive(Default)]
pub(super) struct Way {
    pub(super) reads_fail: AtomicBool,
    pub(super) writes_fail: AtomicBool,
    pub(super) calls: AtomicU64,
    /// The next scan panics.
    pub(super) scan_panics: AtomicBool,
    /// The next member whose row is to be changed renews it just before.
    pub(super) wakes: AtomicBool,
}

impl Way {
    pub(super) fn cut(&self, reads: bool, writes: bool) {
        self.reads_fail.store(reads, Ordering::Relaxed);
        self.writes_fail.store(writes, Ordering::Relaxed);
    }

    fn pass(&self, fails: &AtomicBool) -> Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if fails.load(Ordering::Relaxed) {
            return Err(Error::unavailable("the store takes nothing"));
        }
        Ok(())
    }

    fn read(&self) -> Result<()> {
        self.pass(&self.reads_fail)
    }

    fn write(&self) -> Result<()> {
        self.pass(&self.writes_fail)
    }
}

struct Far<T: ?Sized> {
    way: Arc<Way>,
    there: Arc<T>,
}

/// The same stores, at the end of the way.
pub(super) fn behind(way: &Arc<Way>, stores: Stores) -> Stores {
    let coordination = Far { way: way.clone(), there: stores.coordination };
    let journal = Far { way: way.clone(), there: stores.journal };
    Stores { coordination: Arc::new(coordination), journal: Arc::new(journal), ..stores }
}

async fn renew(store: &dyn Coordination, key: &str) -> Result<()> {
    let stored = store.read(MEMBERS, key).await?.expect("it is to be changed");
    let mut row: MemberRow = serde_json::from_slice(&stored.value).unwrap();
    row.renewals += 1;
    let renewed = serde_json::to_vec(&row).unwrap().into();
    let outcome = store.compare_and_set(MEMBERS, key, Some(stored.version), Some(renewed)).await?;
    assert!(matches!(outcome, CasOutcome::Applied(_)));
    Ok(())
}

#[async_trait]
impl Coordination for Far<dyn Coordination> {
    async fn scan(&self, table: &str) -> Result<TableRows> {
        self.way.read()?;
        assert!(!self.way.scan_panics.swap(false, Ordering::Relaxed), "the test wants it");
        self.there.scan(table).await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        self.way.read()?;
        self.there.read(table, key).await
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        self.way.write()?;
        if table == MEMBERS && expected.is_some() && self.way.wakes.swap(false, Ordering::Relaxed) {
            renew(&*self.there, key).await?;
        }
        self.there.compare_and_set(table, key, expected, value).await
    }

    async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken> {
        self.way.write()?;
        self.there.raise_token(table, token).await
    }

    async fn put_fenced(
        &self,
        table: &str,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        self.way.write()?;
        self.there.put_fenced(table, token, rows).await
    }
}

#[async_trait]
impl Journal for Far<dyn Journal> {
    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        self.way.write()?;
        self.there.open_writer(writer).await
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        self.way.write()?;
        self.there.append(writer, append).await
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        self.way.write()?;
        self.there.seal(writer).await
    }

    async fn replay(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.way.read()?;
        self.there.replay(persistence_id, first, last, event_count_max).await
    }

    async fn highest(&self, persistence_id: &PersistenceId) -> Result<SequenceNr> {
        self.way.read()?;
        self.there.highest(persistence_id).await
    }

    async fn delete_to(&self, persistence_id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.way.write()?;
        self.there.delete_to(persistence_id, last).await
    }
}
