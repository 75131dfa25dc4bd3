//! Hands reminders that are due to their entities: the task of the scanner, at the node that holds
//! the lease of the place, and the way of a row to the home of its entity.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use antiphon_base::guard::Guarded;
use antiphon_base::time::Timestamp;
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::store::ReminderRow;
use antiphon_runtime::LeaseState;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::envelope::Message;
use super::parts::RegionParts;
use super::routing::Routing;
use crate::admission::{Refusal, Sender};
use crate::reminders::{Effect, Input, Page, Scanner, ScannerSettings, Unowned, Walked};
use crate::wire::{SHARDING, Wire};

/// Hands reminders of one entity type to their entities.
pub(super) struct Reminding<E: EventSourced> {
    parts: Arc<RegionParts>,
    routing: Arc<Routing<E>>,
    /// Rows for entities of this node that are not due by its clock yet.
    early: Mutex<BTreeSet<ReminderRow>>,
    unowned: Mutex<Unowned>,
}

impl<E: EventSourced> Reminding<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn new(parts: Arc<RegionParts>, routing: Arc<Routing<E>>) -> Arc<Self> {
        let (early, unowned) = (Mutex::default(), Mutex::default());
        Arc::new(Self { parts, routing, early, unowned })
    }

    /// Starts the task of the scanner, if this place has a replica. It ends with the region.
    pub(super) fn start(self: &Arc<Self>) {
        let parts = &self.parts;
        if !parts.layout.has_place(parts.node.place()) {
            return;
        }
        let (this, leases) = (Arc::downgrade(self), parts.node.coordinator_lease());
        let subject = parts.layout.entity_type().to_string();
        let wait = parts.settings.reminder_retry_max;
        parts.node.spawn("reminders", async move {
            // a scanner whose core finds a broken invariant begins anew: it knows nothing that a
            // read does not tell
            loop {
                let run = Box::pin(run(this.clone(), leases.clone()));
                if Guarded::new("the scanner of reminders", subject.clone(), run).await.is_ok() {
                    return;
                }
                if let Some(reminding) = this.upgrade() {
                    reminding.parts.metrics.count_reminders("broken", 1);
                }
                tokio::time::sleep(wait).await;
            }
        });
    }

    fn scanner(&self) -> Scanner {
        let settings = &self.parts.settings;
        let settings = ScannerSettings {
            interval: settings.reminder_interval,
            in_flight_max: settings.reminders_in_flight_max,
            retry_min: settings.reminder_retry_min,
            retry_max: settings.reminder_retry_max,
        };
        Scanner::new(self.parts.now(), settings)
    }

    /// Runs the effects of the scanner. Returns the page that it has asked for.
    async fn carry_out(&self, effects: Vec<Effect>) -> Option<Input> {
        let mut page = None;
        for effect in effects {
            match effect {
                Effect::Read(after, row_count_max) => {
                    page = Some(Input::Page(self.read(after.as_ref(), row_count_max).await));
                }
                Effect::HandOver(row, is_first) => {
                    if is_first {
                        self.parts.metrics.reminder_late.observe(self.late(row.due).as_secs_f64());
                    }
                    let outcome = self.hand_over(row, is_first);
                    self.parts.metrics.count_reminders(outcome, 1);
                }
            }
        }
        page
    }

    async fn read(&self, after: Option<&ReminderRow>, row_count_max: usize) -> Option<Page> {
        let (entity_type, until) = (self.parts.layout.entity_type(), self.wall());
        let reminders = &self.parts.node.stores().reminders;
        match reminders.due(entity_type, until, after, row_count_max).await {
            Ok(mut rows) => {
                let last = rows.last().filter(|_| rows.len() >= row_count_max).cloned();
                self.look_for_unowned((after, last.as_ref()), &rows).await;
                // a journal may be common to the replicas of several places; and a row of a shard
                // without a home takes no room of the others until there is a home
                rows.retain(|row| self.has_home(row));
                Some(Page { rows, last })
            }
            Err(error) => {
                self.parts.metrics.count_reminders("read_failed", 1);
                tracing::debug!(%entity_type, %error, "due reminders cannot be read; tried again until it succeeds");
                None
            }
        }
    }

    /// Counts the rows of a page whose replica the type does not have, and removes those of
    /// replicas that are said to be removed.
    async fn look_for_unowned(
        &self,
        (after, last): (Option<&ReminderRow>, Option<&ReminderRow>),
        rows: &[ReminderRow],
    ) {
        let (layout, settings) = (&self.parts.layout, &self.parts.settings);
        let replica_of = |row: &ReminderRow| {
            let id = ReplicationId::parse(row.persistence_id.as_str()).ok();
            id.map(|id| id.replica_id().clone())
        };
        let is_owned =
            |row: &&ReminderRow| replica_of(row).is_some_and(|replica| layout.is_replica(&replica));
        let is_removed = |row: &ReminderRow| {
            replica_of(row).is_some_and(|replica| {
                settings.removed_replicas.iter().any(|removed| removed == replica.as_str())
            })
        };
        let unowned = rows.iter().filter(|row| !is_owned(row)).cloned();
        let (removed, unowned): (Vec<_>, Vec<_>) = unowned.partition(is_removed);
        if !removed.is_empty() {
            let outcome = match self.parts.node.stores().reminders.remove(&removed).await {
                Ok(()) => "removed",
                Err(_) => "not_removed",
            };
            self.parts.metrics.count_reminders(outcome, removed.len() as u64);
        }
        let at = (self.parts.now(), self.parts.node.settings().fault_log_interval);
        let walked = self.unowned.lock().page(at, (after, last), &unowned);
        let Some(Walked { count: unowned, told }) = walked else { return };
        self.parts.metrics.reminders_unowned.set(count(unowned));
        if let Some(row) = told {
            let entity_type = layout.entity_type();
            let id = &row.persistence_id;
            tracing::warn!(%entity_type, count = unowned, first = %id, due = %row.due, "due reminders belong to a replica that this entity type does not have: nobody fires them. Add the replica again, or name it in `sharding.removed_replicas`, and they are removed");
        }
    }

    fn wall(&self) -> Timestamp {
        self.parts.node.clock().wall()
    }

    fn late(&self, due: Timestamp) -> Duration {
        Duration::from_micros(self.wall().as_micros().saturating_sub(due.as_micros()))
    }

    /// The slot and the id of the entity of a row; `None`: the row is not of a replica of this
    /// place.
    fn address(&self, row: &ReminderRow) -> Option<(usize, ReplicationId)> {
        let id = ReplicationId::parse(row.persistence_id.as_str()).ok()?;
        let layout = &self.parts.layout;
        let is_of_type = **id.entity_type() == **layout.entity_type();
        if !is_of_type || !layout.has_replica(self.parts.node.place(), id.replica_id()) {
            return None;
        }
        Some((layout.index(id.replica_id(), id.entity_id())?, id))
    }

    fn has_home(&self, row: &ReminderRow) -> bool {
        let Some((_, id)) = self.address(row) else { return false };
        let has_home = self.routing.home_of(id.replica_id(), id.entity_id()).is_some();
        if !has_home {
            self.parts.metrics.count_reminders("no_home", 1);
        }
        has_home
    }

    /// Hands a row to the home of its entity. Returns the outcome, which is counted. A row that
    /// does not arrive is handed over again.
    fn hand_over(&self, row: ReminderRow, is_first: bool) -> &'static str {
        let Some((_, id)) = self.address(&row) else { return "no_home" };
        let home = self.routing.home_of(id.replica_id(), id.entity_id());
        let Some(home) = home else { return "no_home" };
        if home == *self.parts.node.id() {
            self.take(row);
        } else {
            let entity_type = self.parts.layout.entity_type().clone();
            let message = Wire::ReminderDue { entity_type, row }.encode();
            if self.parts.node.gate().tell(&home, SHARDING, message).is_err() {
                return "not_sent";
            }
        }
        if is_first { "handed_over" } else { "again" }
    }

    /// Takes a row for an entity of this node. A shard that is not here, or drains, drops it.
    fn take(&self, row: ReminderRow) {
        let Some((index, id)) = self.address(&row) else { return };
        let mut slot = self.routing.slots().lock(index);
        if slot.route.is_here() {
            let entity = id.entity_id().clone();
            self.routing.deliver_here(index, &mut slot, entity, Message::Reminder(Box::new(row)));
        }
    }

    /// Takes a row from another node of the place. The entity asks the store before it fires, so a
    /// node that lies about a row makes nothing happen. A row that is not due by the clock of this
    /// node waits here, within a bound; beyond it, the row comes again.
    pub(super) fn arrived(&self, from: Sender<'_>, row: ReminderRow) {
        if **from.place != *self.parts.node.place() {
            return self.parts.refusals.refused(from.id, Refusal::OtherReminder);
        }
        if row.check().is_err() || self.address(&row).is_none() {
            return self.parts.refusals.refused(from.id, Refusal::Malformed);
        }
        if row.due <= self.wall() {
            return self.take(row);
        }
        // the clock of the node that has found it is ahead
        self.parts.metrics.count_reminders("early", 1);
        let mut early = self.early.lock();
        if early.len() < self.parts.settings.reminders_in_flight_max {
            early.insert(row);
        }
    }

    /// Takes the rows whose time has come by the clock of this node.
    pub(super) fn tick(&self) {
        loop {
            let Some(row) = ({
                let mut early = self.early.lock();
                let is_due = early.first().is_some_and(|row| row.due <= self.wall());
                if is_due { early.pop_first() } else { None }
            }) else {
                return;
            };
            self.take(row);
        }
    }
}

/// Runs the scanner until the region or the node ends.
async fn run<E: EventSourced>(this: Weak<Reminding<E>>, mut leases: watch::Receiver<LeaseState>)
where
    E::Command: Serialize + DeserializeOwned,
{
    let Some(mut scanner) = this.upgrade().map(|reminding| reminding.scanner()) else { return };
    let mut input = Input::Lease(leases.borrow_and_update().held.is_some());
    loop {
        {
            let Some(reminding) = this.upgrade() else { return };
            let mut next = Some(input);
            while let Some(input) = next {
                let effects = scanner.step(reminding.parts.now(), input);
                reminding.parts.metrics.reminders_in_flight.set(count(scanner.under_way_count()));
                // when the lease moves during a read, the rows are handed over all the same, which
                // does no harm
                next = reminding.carry_out(effects).await;
            }
        }
        let due = scanner.due();
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        input = tokio::select! {
            biased;
            changed = leases.changed() => match changed {
                Ok(()) => Input::Lease(leases.borrow_and_update().held.is_some()),
                Err(_) => return,
            },
            () = sleep => Input::Tick,
        };
    }
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
