//! Last writer wins, by a time that all replicas order the same way.

use antiphon_base::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::context::OperationContext;
use super::replicated::Replicated;
use crate::identity::ReplicaId;

/// A time with the replica that wrote, so that no two writes of different replicas are equal.
///
/// ```
/// use antiphon_base::time::Timestamp;
/// use antiphon_persistence::crdt::LwwTime;
/// use antiphon_persistence::identity::ReplicaId;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let first = LwwTime::new(Timestamp::from_micros(7), b.clone());
/// assert!(first.increase(Timestamp::from_micros(3), b).is_after(&first), "a clock that is late");
/// let same_time = LwwTime::new(Timestamp::from_micros(7), a);
/// assert!(same_time.is_after(&first), "the first name wins");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LwwTime {
    /// The time of the write.
    pub timestamp: Timestamp,
    /// The replica at which the value was written.
    pub origin: ReplicaId,
}

impl LwwTime {
    /// The time of a write.
    pub fn new(timestamp: Timestamp, origin: ReplicaId) -> Self {
        Self { timestamp, origin }
    }

    /// A time for a new write at `origin` that is after this one: `now`, or one microsecond past
    /// this one when that is later.
    #[must_use]
    pub fn increase(&self, now: Timestamp, origin: ReplicaId) -> Self {
        let past = Timestamp::from_micros(self.timestamp.as_micros().saturating_add(1));
        Self { timestamp: now.max(past), origin }
    }

    /// Returns whether this write wins over `other`: the later time wins, and at equal times the
    /// replica id that comes **first** in the alphabet, as in Akka.
    pub fn is_after(&self, other: &Self) -> bool {
        match self.timestamp.cmp(&other.timestamp) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => self.origin < other.origin,
        }
    }
}

/// A value for which only the last write counts. The event must carry the whole value.
///
/// A write with a time of a wrong clock, even a day ahead, stops no later write: [`Self::set`]
/// takes a time after that of the value that it replaces. Nobody checks the time in an event: a
/// value with the greatest possible time can be replaced only by a replica whose id comes first.
///
/// ```
/// use antiphon_base::time::Timestamp;
/// use antiphon_persistence::crdt::{LwwRegister, Replicated, StandaloneContext};
/// use antiphon_persistence::identity::ReplicaId;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let mut title = LwwRegister::new("");
/// let late = title.set("late", Timestamp::from_micros(20), &a);
/// let early = title.set("early", Timestamp::from_micros(10), &b);
/// title.apply(&late, &StandaloneContext::new(a, 1));
/// title.apply(&early, &StandaloneContext::new(b, 1));
/// assert_eq!(*title.value(), "late");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LwwRegister<T> {
    value: T,
    time: Option<LwwTime>,
}

/// The operation of a [`LwwRegister`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LwwUpdated<T> {
    /// The whole new value.
    pub value: T,
    /// The time of the write.
    pub time: LwwTime,
}

impl<T: Default> Default for LwwRegister<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> LwwRegister<T> {
    /// A register before the first write: every write wins over `value`.
    pub fn new(value: T) -> Self {
        Self { value, time: None }
    }

    /// The value.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The time of the last write, if there was one.
    pub fn time(&self) -> Option<&LwwTime> {
        self.time.as_ref()
    }

    /// The operation that writes `value` at `origin`; it wins over every write that this register
    /// has seen.
    pub fn set(&self, value: T, now: Timestamp, origin: &ReplicaId) -> LwwUpdated<T> {
        let time = match &self.time {
            Some(time) => time.increase(now, origin.clone()),
            None => LwwTime::new(now, origin.clone()),
        };
        LwwUpdated { value, time }
    }
}

impl<T: Clone> Replicated for LwwRegister<T> {
    type Operation = LwwUpdated<T>;

    /// Applies a write; an older one changes nothing.
    fn apply(&mut self, operation: &LwwUpdated<T>, _: &dyn OperationContext) {
        if self.time.as_ref().is_none_or(|time| operation.time.is_after(time)) {
            self.value = operation.value.clone();
            self.time = Some(operation.time.clone());
        }
    }

    /// None: a write that lost by its time is forgotten, and cannot come back. In a map, the next
    /// write of the key replaces the value anyway.
    fn reset(&self) -> Option<LwwUpdated<T>> {
        None
    }

    fn is_initial(&self) -> bool {
        self.time.is_none()
    }
}
