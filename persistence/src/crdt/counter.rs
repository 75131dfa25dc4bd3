//! A number that every replica can raise and lower.

use serde::{Deserialize, Serialize};

use super::context::OperationContext;
use super::replicated::Replicated;

/// A sum of deltas. Saturates at the ends of `i128`, which no realistic number of `i64` deltas
/// reaches. A counter that is set back to zero, alone or with its key in a map, is a
/// [`super::ResettableCounter`].
///
/// ```
/// use antiphon_persistence::crdt::{Counter, Replicated, StandaloneContext};
/// use antiphon_persistence::identity::ReplicaId;
///
/// let a = StandaloneContext::new(ReplicaId::new("DC-A")?, 1);
/// let b = StandaloneContext::new(ReplicaId::new("DC-B")?, 1);
/// let (mut here, mut there) = (Counter::default(), Counter::default());
/// let (up, down) = (here.update(5), there.update(-2));
/// here.apply(&up, &a);
/// here.apply(&down, &b);
/// there.apply(&down, &b);
/// there.apply(&up, &a);
/// assert_eq!((here.value(), there.value()), (3, 3));
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter(i128);

/// The operation of a [`Counter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterUpdated {
    /// The number that is added; negative to lower the counter.
    pub delta: i64,
}

impl Counter {
    /// The value.
    pub fn value(&self) -> i128 {
        self.0
    }

    /// The operation that adds `delta`.
    pub fn update(&self, delta: i64) -> CounterUpdated {
        CounterUpdated { delta }
    }
}

impl Replicated for Counter {
    type Operation = CounterUpdated;

    fn apply(&mut self, operation: &CounterUpdated, _: &dyn OperationContext) {
        self.0 = self.0.saturating_add(i128::from(operation.delta));
    }

    /// None: two replicas that reset at the same time would subtract the same updates twice.
    fn reset(&self) -> Option<CounterUpdated> {
        None
    }

    fn is_initial(&self) -> bool {
        self.0 == 0
    }
}
