//! A number that every replica can raise and lower.

use serde::{Deserialize, Serialize};

/// A sum of deltas. Saturates at the ends of `i128`, which no realistic number of `i64` deltas
/// reaches.
///
/// ```
/// use antiphon_persistence::crdt::Counter;
///
/// let (mut here, mut there) = (Counter::default(), Counter::default());
/// let (up, down) = (here.update(5), there.update(-2));
/// here.apply(&up);
/// here.apply(&down);
/// there.apply(&down);
/// there.apply(&up);
/// assert_eq!((here.value(), there.value()), (3, 3));
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

    /// Applies an operation.
    pub fn apply(&mut self, operation: &CounterUpdated) {
        self.0 = self.0.saturating_add(i128::from(operation.delta));
    }
}
