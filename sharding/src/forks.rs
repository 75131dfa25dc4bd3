//! The entities of the place whose replicas differ for ever, listed for the operator.
//!
//! An entity finds a fork only once, while it reads the events of a place that was not asked
//! because a loss was accepted (`docs/restore.md`). So a fork is recorded in the store of the
//! place. All nodes of the place read the records at their start and every ten seconds, and warn of
//! the forks until an operator clears the records.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use antiphon_base::lasting::LastingFault;
use antiphon_persistence::entity::ForkedEntity;
use antiphon_persistence::store::Coordination;
use antiphon_runtime::{Node, Result};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Most forks that are recorded for a place. Further forks are only logged: the place has to be
/// made anew in any case.
const RECORDED_MAX: usize = 1000;
/// Most entities that `/cluster` lists.
const LISTED_MAX: usize = 100;
/// Time between two reads of the records.
const INTERVAL: Duration = Duration::from_secs(10);

/// The forks that a node knows.
#[derive(Default)]
pub(crate) struct Forks {
    book: Mutex<Book>,
    found: Notify,
}

/// The records of the store, and the forks that this node still has to record. A pure core.
#[derive(Debug, Default)]
struct Book {
    recorded: BTreeSet<ForkedEntity>,
    unrecorded: BTreeSet<ForkedEntity>,
}

impl Book {
    /// Adds a fork that an entity here found. Returns false when there is no room for it.
    fn add(&mut self, forked: ForkedEntity) -> bool {
        let is_known = self.recorded.union(&self.unrecorded).any(|known| known.id == forked.id);
        if is_known {
            return true;
        }
        let has_room = self.recorded.len() + self.unrecorded.len() < RECORDED_MAX;
        if has_room {
            self.unrecorded.insert(forked);
        }
        has_room
    }

    /// Takes all records of the store, read after `written` was written.
    fn read(&mut self, written: &BTreeSet<ForkedEntity>, all: Vec<ForkedEntity>) {
        self.unrecorded.retain(|forked| !written.contains(forked));
        self.recorded = all.into_iter().collect();
    }

    fn all(&self) -> BTreeSet<&ForkedEntity> {
        self.recorded.union(&self.unrecorded).collect()
    }
}

impl Forks {
    /// Returns the forks of a node. The first call starts the task that keeps the records.
    pub(crate) fn of(node: &Node) -> Arc<Self> {
        node.extension(|| {
            let forks = Arc::new(Self::default());
            node.spawn("forks", keep(Arc::downgrade(&forks), node.clone()));
            forks
        })
    }

    /// Notes a fork that an entity here found.
    pub(crate) fn found(&self, forked: ForkedEntity) {
        let id = forked.id.clone();
        if self.book().add(forked) {
            self.found.notify_one();
        } else {
            tracing::error!(%id, limit = RECORDED_MAX, "too many entities differ from other places: this one is not recorded");
        }
    }

    /// The forked entities for `/cluster`, each with the first number that was used twice.
    pub(crate) fn json(&self) -> Value {
        let book = self.book();
        let all = book.all();
        let listed: Vec<Value> = all
            .iter()
            .take(LISTED_MAX)
            .map(|forked| json!({ "id": forked.id.to_string(), "number": forked.number }))
            .collect();
        json!({ "count": all.len(), "entities": listed })
    }

    /// Warning for the operator; `None` without forks.
    pub(crate) fn warning(&self) -> Option<String> {
        let book = self.book();
        let all = book.all();
        let first = &all.first()?.id;
        Some(format!(
            "{} entities differ from other places since a loss was accepted, the first is `{first}`: see docs/restore.md",
            all.len()
        ))
    }

    fn book(&self) -> parking_lot::MutexGuard<'_, Book> {
        self.book.lock()
    }

    /// Records the new forks, then reads all records.
    async fn refresh(&self, coordination: &dyn Coordination) -> Result<()> {
        let unrecorded = self.book().unrecorded.clone();
        for forked in &unrecorded {
            forked.record(coordination).await?;
        }
        let all = ForkedEntity::all(coordination).await?;
        self.book().read(&unrecorded, all);
        Ok(())
    }
}

async fn keep(forks: Weak<Forks>, node: Node) {
    let (coordination, clock) = (node.stores().coordination.clone(), node.clock().clone());
    let mut fault = LastingFault::new(node.settings().fault_log_interval);
    // the node holds the forks, so the forks must not hold the node
    drop(node);
    loop {
        let Some(forks) = forks.upgrade() else { return };
        match forks.refresh(&*coordination).await {
            Ok(()) => {
                if let Some(line) = fault.worked(clock.now()) {
                    tracing::info!(lasted = ?line.lasts, "the records of forked entities can be kept again");
                }
            }
            Err(error) => {
                if let Some(line) = fault.failed(clock.now()) {
                    let failures = line.count;
                    tracing::warn!(%error, failures, "the records of forked entities cannot be kept");
                }
            }
        }
        tokio::select! {
            () = forks.found.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon_persistence::identity::ReplicationId;
    use antiphon_persistence::memory::MemoryStores;

    use super::*;

    fn forked(entity: &str, number: u64) -> ForkedEntity {
        let id = ReplicationId::parse(&format!("counter|{entity}|A")).unwrap();
        ForkedEntity { id, number }
    }

    #[tokio::test]
    async fn a_fork_is_known_after_a_restart_until_an_operator_clears_it() {
        let stores = MemoryStores::new();
        let before = Forks::default();
        assert_eq!(before.warning(), None);
        before.found(forked("a", 3));
        before.found(forked("a", 4));
        before.refresh(&stores).await.unwrap();

        let after = Forks::default();
        after.refresh(&stores).await.unwrap();
        for forks in [&before, &after] {
            let warning = forks.warning().unwrap();
            assert!(warning.starts_with("1 entities differ") && warning.contains("counter|a|A"));
            let entities = json!([{ "id": "counter|a|A", "number": 3 }]);
            assert_eq!(forks.json(), json!({ "count": 1, "entities": entities }));
        }

        assert!(ForkedEntity::clear(&stores, &forked("a", 3).id).await.unwrap());
        for forks in [&before, &after] {
            forks.refresh(&stores).await.unwrap();
            assert_eq!(forks.warning(), None);
        }
    }

    #[test]
    fn the_number_of_records_is_bounded() {
        let mut book = Book::default();
        for number in 0..RECORDED_MAX {
            assert!(book.add(forked(&number.to_string(), 1)));
        }
        assert!(!book.add(forked("one more", 1)));
        assert!(book.add(forked("7", 2)), "it is recorded already");
        assert_eq!(book.all().len(), RECORDED_MAX);
    }
}
