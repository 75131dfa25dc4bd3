//! A number that every replica can raise and lower, and set back to zero.
//!
//! A reset takes away the updates that its replica has seen, each once, also when two replicas
//! reset at the same time. Of each origin the state has the sum of all updates ever, and the part
//! of that sum that the newest reset has seen. A reset names the sums by origin: updates of one
//! origin arrive in order, so a sum stands for the updates up to a number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::context::{OperationContext, OperationNr};
use super::replicated::Replicated;
use crate::identity::ReplicaId;

/// A sum of deltas that can be set back. Wraps at the ends of `i128`, which no realistic number of
/// `i64` deltas reaches.
///
/// ```
/// use antiphon_persistence::crdt::{Replicated, ResettableCounter, StandaloneContext};
/// use antiphon_persistence::identity::ReplicaId;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let mut unread = ResettableCounter::default();
/// unread.apply(&unread.update(5), &StandaloneContext::new(a.clone(), 1));
/// let (reset, again, update) = (unread.set_back(), unread.set_back(), unread.update(2));
/// unread.apply(&reset, &StandaloneContext::new(a, 2));
/// unread.apply(&update, &StandaloneContext::new(b.clone(), 1));
/// unread.apply(&again, &StandaloneContext::new(b, 2));
/// assert_eq!(unread.value(), 2, "two resets of the same five, and a concurrent update");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResettableCounter {
    sums: BTreeMap<ReplicaId, Sum>,
}

/// The updates of one origin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    /// All updates.
    all: Seen,
    /// Those that a reset has taken away.
    taken: Seen,
}

/// The updates of an origin up to one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// The last one.
    nr: OperationNr,
    /// Their sum.
    total: i128,
}

/// The updates that a reset takes away, by their origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenSums(BTreeMap<ReplicaId, Seen>);

/// The operation of a [`ResettableCounter`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResettableOp {
    /// Adds a number.
    Updated {
        /// The number that is added; negative to lower the counter.
        delta: i64,
    },
    /// Takes away the updates that were seen.
    SetBack {
        /// The updates that were seen.
        seen: SeenSums,
    },
}

impl ResettableCounter {
    /// The value.
    pub fn value(&self) -> i128 {
        let values = self.sums.values().map(|sum| sum.all.total.wrapping_sub(sum.taken.total));
        values.fold(0, i128::wrapping_add)
    }

    /// The operation that adds `delta`.
    pub fn update(&self, delta: i64) -> ResettableOp {
        ResettableOp::Updated { delta }
    }

    /// The operation that takes away all updates that are seen here.
    pub fn set_back(&self) -> ResettableOp {
        let open = self.sums.iter().filter(|(_, sum)| sum.taken.nr < sum.all.nr);
        let seen = open.map(|(origin, sum)| (origin.clone(), sum.all)).collect();
        ResettableOp::SetBack { seen: SeenSums(seen) }
    }
}

impl Replicated for ResettableCounter {
    type Operation = ResettableOp;

    fn apply(&mut self, operation: &ResettableOp, context: &dyn OperationContext) {
        match operation {
            ResettableOp::Updated { delta } => {
                let all = &mut self.sums.entry(context.origin().clone()).or_default().all;
                all.nr = context.take(1);
                all.total = all.total.wrapping_add(i128::from(*delta));
            }
            ResettableOp::SetBack { seen } => {
                for (origin, seen) in &seen.0 {
                    if let Some(sum) = self.sums.get_mut(origin)
                        && seen.nr > sum.taken.nr
                    {
                        sum.taken = *seen;
                    }
                }
            }
        }
    }

    fn reset(&self) -> Option<ResettableOp> {
        Some(self.set_back())
    }

    /// The sums outlive every reset: a concurrent reset compares with them.
    fn is_initial(&self) -> bool {
        self.sums.is_empty()
    }
}
