//! The failures of store calls: limits their log lines, and keeps the last reason of each call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::lasting::LastingFault;
use antiphon_base::time::Clock;
use parking_lot::Mutex;

use crate::Result;

/// The name of the reads of another place's members.
pub(super) const READING_A_PEER: &str = "reading another place";

/// The name of a call, and the place of the store.
type Key = (&'static str, Arc<str>);

/// The failures of all calls of a node.
pub(super) struct Faults {
    place: Arc<str>,
    interval: Duration,
    clock: Arc<dyn Clock>,
    of: Mutex<BTreeMap<Key, Known>>,
}

struct Known {
    fault: LastingFault,
    why: Option<Arc<str>>,
}

impl Faults {
    /// For a node of `place`, which logs a lasting fault once in `interval`.
    pub(super) fn new(place: &str, interval: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { place: place.into(), interval, clock, of: Mutex::default() }
    }

    /// Takes the result of a call of the own place's store.
    pub(super) fn own<T>(&self, what: &'static str, result: Result<T>) -> Option<T> {
        self.of(what, &self.place, result)
    }

    /// Takes the result of a call; logs the first failure, the number of repetitions now and then,
    /// and the end.
    pub(super) fn of<T>(
        &self,
        what: &'static str,
        place: &Arc<str>,
        result: Result<T>,
    ) -> Option<T> {
        let now = self.clock.now();
        let mut of = self.of.lock();
        let new = || Known { fault: LastingFault::new(self.interval), why: None };
        let known = of.entry((what, place.clone())).or_insert_with(new);
        match result {
            Ok(value) => {
                known.why = None;
                if let Some(line) = known.fault.worked(now) {
                    tracing::info!(%place, lasted = ?line.lasts, "{what} works again");
                }
                Some(value)
            }
            Err(error) => {
                known.why = Some(error.to_string().into());
                if let Some(line) = known.fault.failed(now) {
                    let (failures, lasts) = (line.count, line.lasts);
                    tracing::warn!(%place, %error, failures, ?lasts, "{what} failed");
                }
                None
            }
        }
    }

    /// The reason why the last such call failed; `None` when it succeeded, or was never made.
    pub(super) fn why(&self, what: &'static str, place: &Arc<str>) -> Option<Arc<str>> {
        let of = self.of.lock();
        of.get(&(what, place.clone()))?.why.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use antiphon_base::time::SystemClock;

    #[test]
    fn the_reason_of_a_failure_is_known_until_the_call_succeeds() {
        let faults = Faults::new("A", Duration::from_secs(60), Arc::new(SystemClock));
        let (b, c): (Arc<str>, Arc<str>) = ("B".into(), "C".into());
        let failed: Result<()> = Err(Error::unavailable("the disk is gone"));
        assert_eq!(faults.of("reading", &b, failed), None);
        assert_eq!(faults.why("reading", &b).as_deref(), Some("the disk is gone"));
        assert_eq!((faults.why("reading", &c), faults.why("writing", &b)), (None, None));
        assert_eq!(faults.of("reading", &b, Ok(7)), Some(7));
        assert_eq!(faults.why("reading", &b), None);
    }
}
