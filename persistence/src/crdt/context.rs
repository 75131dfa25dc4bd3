//! The place of an operation in the history: its origin, and a number that no other operation of
//! that origin has.
//!
//! The number is made when an operation is *applied*, from the event that holds it: the event's
//! number among those of its origin, and a count within the event. Every replica gives an operation
//! the same number, because an event has one number everywhere, and its operations one order.
//!
//! - Two operations in one event: the count tells them apart. It goes on over all events that an
//!   adapter (`from_journal`) makes of one stored event.
//! - Several events of one command: each has a number of its own.
//! - A snapshot: the count begins anew with each stored event, and a snapshot is between two.
//! - A persist that failed or is repeated: the event has its number when it is stored. A number
//!   that is given again belonged to an event that nobody has.
//! - An operation that was prepared long before it is persisted, by a future or a client: its
//!   number comes from the event that holds it in the end.
//! - A journal that went back: the runtime brings the own events back from the other places before
//!   the next number is given. A fork, which the runtime reports, has two events with one number.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use crate::identity::ReplicaId;

/// The number of an operation among those of its origin. A later operation of the origin has a
/// greater number.
///
/// ```
/// use antiphon_persistence::crdt::OperationNr;
///
/// let (first, second) = (OperationNr { event: 3, index: 0 }, OperationNr { event: 3, index: 1 });
/// assert!(first < second && second < OperationNr { event: 4, index: 0 });
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct OperationNr {
    /// The number of the event among those of its origin, from one.
    pub event: u64,
    /// The place within the event, from zero.
    pub index: u32,
}

/// The source of an operation that is applied; an event handler passes its `EventContext` on.
pub trait OperationContext {
    /// The replica at which the operation was prepared.
    fn origin(&self) -> &ReplicaId;

    /// The first of `count` numbers in a row that nothing else has at this origin.
    fn take(&self, count: u32) -> OperationNr;
}

/// A context outside of an entity: for tests of a model, and for a draft to which operations are
/// applied before they are persisted.
///
/// ```
/// use antiphon_persistence::crdt::{OperationContext, OperationNr, StandaloneContext};
/// use antiphon_persistence::identity::ReplicaId;
///
/// let context = StandaloneContext::new(ReplicaId::new("DC-A")?, 7);
/// assert_eq!(context.take(2), OperationNr { event: 7, index: 0 });
/// assert_eq!(context.take(1), OperationNr { event: 7, index: 2 });
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StandaloneContext {
    origin: ReplicaId,
    event: u64,
    used: Cell<u32>,
}

impl StandaloneContext {
    /// The context of the event with this number at `origin`.
    pub fn new(origin: ReplicaId, event: u64) -> Self {
        Self { origin, event, used: Cell::new(0) }
    }
}

impl OperationContext for StandaloneContext {
    fn origin(&self) -> &ReplicaId {
        &self.origin
    }

    fn take(&self, count: u32) -> OperationNr {
        let index = self.used.get();
        self.used.set(index.wrapping_add(count));
        OperationNr { event: self.event, index }
    }
}
