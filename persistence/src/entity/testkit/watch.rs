//! The record of the things that happened since the last input of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::did::Did;
use crate::entity::{EntityCounters, Signal};
use crate::identity::ReplicationId;

/// The record of one entity under test; its clones are one record.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    counters: Arc<EntityCounters>,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    did: Vec<Did>,
    /// The parts of the last effect, as long as it can be refused.
    decided: Vec<Did>,
    /// The refusals before the last effect, as the counters have them.
    refusals: u64,
    /// The reason of a refusal since the last effect.
    refusal: Option<String>,
    signals: Vec<Signal>,
    faults: Vec<String>,
}

impl Watch {
    pub(super) fn counters(&self) -> &Arc<EntityCounters> {
        &self.0.counters
    }

    /// Forgets everything: the test gives the next input.
    pub(super) fn forget(&self) {
        *self.0.record.lock() = Record::default();
    }

    /// Notes a thing that has happened.
    pub(super) fn did(&self, did: Did) {
        let mut record = self.0.record.lock();
        self.settle_in(&mut record);
        record.did.push(did);
    }

    /// Notes the effect of a handler, and the mistakes in its events.
    pub(super) fn decided(&self, parts: Vec<Did>, faults: Vec<String>) {
        let mut record = self.0.record.lock();
        self.settle_in(&mut record);
        record.refusals = self.refusals();
        record.decided = parts;
        record.faults.extend(faults);
    }

    /// Notes that a function of the application is left by a panic.
    pub(super) fn panicked(&self, what: &'static str) {
        let mut record = self.0.record.lock();
        // a panic of `on_event` undoes the effect whose event it was
        record.decided.clear();
        record.did.push(Did::Panicked(what));
    }

    pub(super) fn signalled(&self, signal: &Signal) {
        let mut record = self.0.record.lock();
        if let Signal::PersistRejected(reason) = signal {
            record.refusal = Some(reason.clone());
        }
        record.signals.push(signal.clone());
    }

    /// Notes a mistake in the types of the application: the test fails.
    pub(super) fn fault(&self, fault: String) {
        self.0.record.lock().faults.push(fault);
    }

    pub(super) fn effects(&self) -> Vec<Did> {
        let mut record = self.0.record.lock();
        self.settle_in(&mut record);
        record.did.clone()
    }

    pub(super) fn signals(&self) -> Vec<Signal> {
        self.0.record.lock().signals.clone()
    }

    pub(super) fn take_faults(&self) -> Vec<String> {
        std::mem::take(&mut self.0.record.lock().faults)
    }

    /// Notes that the last effect cannot be refused any more.
    pub(super) fn settle(&self) {
        self.settle_in(&mut self.0.record.lock());
    }

    fn settle_in(&self, record: &mut Record) {
        let decided = std::mem::take(&mut record.decided);
        let is_refused = self.refusals() > record.refusals;
        record.refusals = self.refusals();
        match record.refusal.take() {
            Some(reason) => record.did.push(Did::Refused(reason)),
            None if is_refused && !decided.is_empty() => {
                let why = "a bound was hit: the error of the asker names it".to_owned();
                record.did.push(Did::Refused(why));
            }
            None => record.did.extend(decided),
        }
    }

    /// Number of effects that the engine has refused.
    fn refusals(&self) -> u64 {
        let counters = &self.0.counters;
        let refused = [
            &counters.timers_refused,
            &counters.reminders_refused,
            &counters.stash_overflows,
            &counters.events_rejected,
        ];
        refused.map(|counter: &AtomicU64| counter.load(Ordering::Relaxed)).iter().sum()
    }
}

/// The record of the commands that an entity under test sends to other entities. The handlers reach
/// it as an extension.
///
/// ```
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// use antiphon_persistence::entity::testkit::{Did, EntityTest, Outgoing};
/// use antiphon_persistence::identity::ReplicationId;
///
/// # struct Cart;
/// # impl EventSourced for Cart {
/// #     type Command = String;
/// #     type Event = String;
/// #     type State = u32;
/// #     fn on_event(&self, _: &EventContext, _: &mut u32, _: &String) {}
///     fn on_command(&self, context: &CommandContext, _: &u32, item: String) -> Effect<Self> {
///         // a stand-in of another entity does this
///         let stock = ReplicationId::parse(format!("stock|{item}").as_str()).unwrap();
///         context.extension::<Outgoing>().expect("a test").told(&stock);
///         Effect::none()
///     }
/// # }
///
/// let mut cart = EntityTest::new(Cart, "cart|c-1");
/// cart.tell("pen".to_owned());
/// assert_eq!(cart.effects(), [Did::Told("stock|pen".into())]);
/// ```
#[derive(Clone)]
pub struct Outgoing(Watch);

impl Outgoing {
    pub(super) fn of(watch: &Watch) -> Self {
        Self(watch.clone())
    }

    /// Notes that this entity was told a command.
    pub fn told(&self, entity: &ReplicationId) {
        self.0.did(Did::Told(entity.to_string()));
    }

    /// Notes that this entity was asked.
    pub fn asked(&self, entity: &ReplicationId) {
        self.0.did(Did::Asked(entity.to_string()));
    }
}
