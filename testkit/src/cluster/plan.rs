//! The faults of a place's stores that a test orders.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::{Error, Result};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::memory::{Answer, Call, Fault, FaultyStores, MemoryStores, StoreTrait};
use antiphon_persistence::store::Stores;
use async_trait::async_trait;
use parking_lot::Mutex;

use crate::harness::place::PlaceStores;

/// The fate of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The append is refused, and its events are not stored.
    Refused,
    /// The events are stored, and the answer says that the outcome is unknown.
    AnswerLost,
    /// The events are not stored, and the answer says that the outcome is unknown.
    Lost,
}

#[derive(Debug, Default)]
struct Orders {
    /// By stream, the fates of the next appends.
    appends: BTreeMap<PersistenceId, VecDeque<Fate>>,
    slow: Duration,
    refuses: bool,
}

/// The faults that a test has ordered for the stores of one place.
#[derive(Debug, Default)]
pub(crate) struct Plan(Mutex<Orders>);

impl Plan {
    pub(crate) fn next_appends(&self, stream: PersistenceId, fate: Fate, count: usize) {
        let mut orders = self.0.lock();
        orders.appends.entry(stream).or_default().extend(std::iter::repeat_n(fate, count));
    }

    pub(crate) fn slow(&self, by: Duration) {
        self.0.lock().slow = by;
    }

    pub(crate) fn refuse(&self, refuses: bool) {
        self.0.lock().refuses = refuses;
    }

    pub(crate) fn end(&self) {
        *self.0.lock() = Orders::default();
    }

    /// Takes the fate of the next append of a stream, if it is one of `fates`.
    fn take(&self, stream: &PersistenceId, fates: &[Fate]) -> Option<Fate> {
        let mut orders = self.0.lock();
        let next = orders.appends.get_mut(stream)?;
        let fate = next.front().copied().filter(|fate| fates.contains(fate))?;
        next.pop_front();
        Some(fate)
    }
}

/// Returns whether a call is about entities; the others are about the membership of nodes.
fn is_of_entities(call: Call<'_>) -> bool {
    match call.of() {
        StoreTrait::Journal => !matches!(call, Call::OpenWriter(_) | Call::Seal(_)),
        StoreTrait::ReadJournal
        | StoreTrait::Snapshots
        | StoreTrait::Offsets
        | StoreTrait::Reminders => true,
        StoreTrait::Coordination => false,
    }
}

#[async_trait]
impl Fault for Plan {
    async fn before(&self, call: Call<'_>) -> Result<()> {
        if !is_of_entities(call) {
            return Ok(());
        }
        let (slow, refuses) = {
            let orders = self.0.lock();
            (orders.slow, orders.refuses)
        };
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        if refuses {
            return Err(Error::unavailable("the test wants it: the stores refuse all calls"));
        }
        let Call::Append(_, append) = call else { return Ok(()) };
        match self.take(&append.persistence_id, &[Fate::Refused, Fate::Lost]) {
            Some(Fate::Refused) => Err(Error::unavailable("the test wants it: not stored")),
            Some(Fate::Lost) => Err(Error::timeout("the test wants it: outcome unknown")),
            Some(Fate::AnswerLost) | None => Ok(()),
        }
    }

    async fn after(&self, call: Call<'_>, _: Answer) -> Result<()> {
        let Call::Append(_, append) = call else { return Ok(()) };
        match self.take(&append.persistence_id, &[Fate::AnswerLost]) {
            Some(_) => Err(Error::timeout("the test wants it: outcome unknown")),
            None => Ok(()),
        }
    }
}

/// Stores in memory behind the orders of a test.
pub(crate) struct Planned {
    stores: MemoryStores,
    plan: Arc<Plan>,
}

impl Planned {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        Self { stores: MemoryStores::new(), plan }
    }
}

impl PlaceStores for Planned {
    fn stores(&self) -> Stores {
        self.stores.stores()
    }

    fn session(&self, _seed: u64) -> Stores {
        FaultyStores::behind(self.plan.clone(), self.stores.stores())
    }

    fn memory(&self) -> Option<&MemoryStores> {
        Some(&self.stores)
    }
}
