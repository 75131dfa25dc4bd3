//! Who decides about a command whose asker waits: the one who takes it, or the asker who gives up. Never both.
//!
//! ```text
//!            take (entity, link)
//!   Waiting --------------------> Taken
//!      |  ^                         |
//!      |  +------ give back --------+   (stashed, or came back unhandled)
//!      +--> Void                        (the asker gave up, or its time was over)
//! ```
//!
//! An asker that finds its command void knows that nobody will handle it. One that finds it taken knows nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::Instant;

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const VOID: u8 = 2;

/// The right to handle one command, shared by its asker and everybody who holds the command. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Claim(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    deadline: Option<Instant>,
}

impl Claim {
    /// Of a command without an asker whose time could be over: it is never void.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// Of a command whose asker waits until `deadline` (exclusive).
    pub fn until(deadline: Instant) -> Self {
        Self(Some(Arc::new(Shared { state: AtomicU8::new(WAITING), deadline: Some(deadline) })))
    }

    /// Of a command whose asker waits for `time` from `now` on; a time beyond the clock's range is no limit.
    pub fn lasting(now: Instant, time: Duration) -> Self {
        let deadline = now.checked_add(time);
        Self(Some(Arc::new(Shared { state: AtomicU8::new(WAITING), deadline })))
    }

    /// Takes the command, to handle it or to send it away. When it returns false the command is void and must be dropped.
    #[must_use]
    pub fn take(&self, now: Instant) -> bool {
        let Some(shared) = &self.0 else { return true };
        // an asker that is not here cannot make it void itself
        let is_late = shared.deadline.is_some_and(|deadline| now >= deadline);
        let next = if is_late { VOID } else { TAKEN };
        match shared.state.compare_exchange(WAITING, next, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => !is_late,
            Err(state) => state == TAKEN,
        }
    }

    /// Gives the command back unhandled: from now on its asker can make it void again.
    pub fn give_back(&self) {
        if let Some(shared) = &self.0 {
            let _ =
                shared.state.compare_exchange(TAKEN, WAITING, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Makes the command void, if nobody has taken it. Returns whether it is: then it has not taken effect and never will.
    pub fn void(&self) -> bool {
        let Some(shared) = &self.0 else { return false };
        shared.state.compare_exchange(WAITING, VOID, Ordering::AcqRel, Ordering::Acquire)
            != Err(TAKEN)
    }

    /// Whether the command is void, or its asker's time is over.
    pub fn is_over(&self, now: Instant) -> bool {
        let Some(shared) = &self.0 else { return false };
        shared.state.load(Ordering::Acquire) == VOID
            || shared.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// How long the asker still waits; `None`: without a limit.
    pub fn time_left(&self, now: Instant) -> Option<Duration> {
        let deadline = self.0.as_ref()?.deadline?;
        Some(deadline.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Clock, SystemClock};

    #[test]
    fn a_command_is_either_taken_or_void() {
        let now = SystemClock.now();
        let claim = Claim::lasting(now, Duration::from_secs(1));
        assert!(claim.take(now));
        assert!(!claim.void(), "somebody handles it");
        claim.give_back();
        assert!(claim.void());
        assert!(!claim.take(now), "its asker was told that nobody handles it");
        assert!(!Claim::unlimited().void());
    }

    #[test]
    fn a_command_whose_time_is_over_is_not_handed_over() {
        let now = SystemClock.now();
        let claim = Claim::lasting(now, Duration::from_secs(1));
        assert_eq!(claim.time_left(now), Some(Duration::from_secs(1)));
        let late = now + Duration::from_secs(1);
        assert!(claim.is_over(late) && !claim.take(late));
        assert!(claim.void());
        assert!(
            Claim::lasting(now, Duration::MAX).take(late),
            "beyond the clock there is no limit"
        );
    }
}
