//! The stores of one node, which can be taken away from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use antiphon_persistence::memory::{Call, Fault, FaultyStores, StoreTrait};
use antiphon_persistence::store::{CasOutcome, Coordination, Stores};
use async_trait::async_trait;

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

/// The faults of the way.
struct Far {
    way: Arc<Way>,
    there: Arc<dyn Coordination>,
}

/// The same stores, at the end of the way.
pub(super) fn behind(way: &Arc<Way>, stores: Stores) -> Stores {
    let far = Far { way: way.clone(), there: stores.coordination.clone() };
    FaultyStores::behind(Arc::new(far), stores)
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
impl Fault for Far {
    async fn before(&self, call: Call<'_>) -> Result<()> {
        match call.of() {
            StoreTrait::Journal | StoreTrait::Coordination if call.is_write() => {
                self.way.write()?
            }
            StoreTrait::Journal | StoreTrait::Coordination => self.way.read()?,
            StoreTrait::ReadJournal
            | StoreTrait::Snapshots
            | StoreTrait::Offsets
            | StoreTrait::Reminders => {}
        }
        if let Call::Scan(_) = call {
            let panics = self.way.scan_panics.swap(false, Ordering::Relaxed);
            assert!(!panics, "the test wants it");
        }
        if let Call::CompareAndSet(MEMBERS, key, Some(_)) = call
            && self.way.wakes.swap(false, Ordering::Relaxed)
        {
            renew(&*self.there, key).await?;
        }
        Ok(())
    }
}
