//! The log of a fault that lasts.
//!
//! A fault that is tried again every second would log 33 MB a day, on a machine whose disk may be
//! full. The log has the beginning of the fault, the number of failures once in an interval, and
//! the end.
//!
//! ```text
//!            failed: logged          failed: counted, logged once in `interval`
//!   sound -------------------> lasting ---------------------------------------+
//!     ^                         |  ^                                          |
//!     +-------------------------+  +------------------------------------------+
//!       worked, and no failure for `QUIET`: logged
//! ```
//!
//! Successes between failures do not end the fault: on a full disk small writes still succeed.

use std::time::Duration;

use tokio::time::Instant;

/// Time without a failure after which a success ends the fault.
const QUIET: Duration = Duration::from_secs(5);

/// A core that selects the failures to log. The caller writes the log.
///
/// ```
/// use std::time::Duration;
///
/// use antiphon_base::lasting::LastingFault;
/// use antiphon_base::time::{Clock, SystemClock};
///
/// let mut fault = LastingFault::new(Duration::from_secs(60));
/// let now = SystemClock.now();
/// assert!(fault.failed(now).is_some(), "the beginning is logged");
/// assert!(fault.failed(now + Duration::from_secs(1)).is_none());
/// assert!(fault.failed(now + Duration::from_secs(61)).is_some());
/// ```
#[derive(Debug)]
pub struct LastingFault {
    interval: Duration,
    now: Option<Fault>,
}

#[derive(Debug)]
struct Fault {
    began: Instant,
    logged: Instant,
    failed: Instant,
    /// The first success since the last failure: the end of the fault, if no failure follows.
    worked: Option<Instant>,
    count: u64,
}

/// A line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultLine {
    /// Failures since the line before; at least 1 in a line about a failure.
    pub count: u64,
    /// Time from the first failure to this one, and in the last line to the success that ended the
    /// fault; zero in the first line.
    pub lasts: Duration,
}

impl LastingFault {
    /// No fault yet. While a fault lasts, it is logged once in `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { interval, now: None }
    }

    /// Takes a failure; returns the line to log, if any.
    pub fn failed(&mut self, now: Instant) -> Option<FaultLine> {
        let Some(fault) = &mut self.now else {
            self.now = Some(Fault { began: now, logged: now, failed: now, worked: None, count: 0 });
            return Some(FaultLine { count: 1, lasts: Duration::ZERO });
        };
        (fault.failed, fault.worked, fault.count) = (now, None, fault.count + 1);
        if now - fault.logged < self.interval {
            return None;
        }
        fault.logged = now;
        Some(FaultLine { count: std::mem::take(&mut fault.count), lasts: now - fault.began })
    }

    /// Takes a success; returns the line to log, if it ends a fault.
    pub fn worked(&mut self, now: Instant) -> Option<FaultLine> {
        let fault = self.now.as_mut()?;
        let worked = *fault.worked.get_or_insert(now);
        let fault = self.now.take_if(|fault| now - fault.failed >= QUIET)?;
        Some(FaultLine { count: fault.count, lasts: worked - fault.began })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Clock, SystemClock};

    #[test]
    fn a_fault_that_lasts_is_logged_when_it_begins_once_a_minute_and_when_it_ends() {
        let (mut fault, t0) = (LastingFault::new(Duration::from_secs(60)), SystemClock.now());
        let at = |seconds| t0 + Duration::from_secs(seconds);
        assert_eq!(fault.worked(at(0)), None);
        let mut lines = Vec::new();
        for second in 1..=150 {
            lines.extend(fault.failed(at(second)).map(|line| (second, line.count)));
        }
        assert_eq!(lines, [(1, 1), (61, 60), (121, 60)]);
        assert_eq!(fault.worked(at(151)), None, "it may fail again at once");
        let end = FaultLine { count: 29, lasts: Duration::from_secs(150) };
        assert_eq!(fault.worked(at(155)), Some(end));
        assert_eq!(fault.worked(at(156)), None);
        assert_eq!(fault.failed(at(157)).map(|line| line.count), Some(1), "it is a new fault");
    }

    #[test]
    fn a_fault_of_one_failure_lasts_until_the_first_success() {
        let (mut fault, t0) = (LastingFault::new(Duration::from_secs(60)), SystemClock.now());
        let at = |seconds| t0 + Duration::from_secs(seconds);
        assert_eq!(fault.failed(at(0)).map(|line| line.lasts), Some(Duration::ZERO));
        assert_eq!(fault.worked(at(3)), None, "it may fail again at once");
        let lasts = |line: Option<FaultLine>| line.map(|line| line.lasts.as_secs());
        assert_eq!(lasts(fault.worked(at(9))), Some(3), "it worked at 3, and since then");

        assert_eq!(lasts(fault.failed(at(20))), Some(0));
        assert_eq!(lasts(fault.worked(at(21))), None);
        assert_eq!(lasts(fault.failed(at(22))), None);
        assert_eq!(lasts(fault.worked(at(30))), Some(10), "a success before a failure is no end");
    }

    #[test]
    fn successes_between_the_failures_make_no_lines() {
        let (mut fault, t0) = (LastingFault::new(Duration::from_secs(60)), SystemClock.now());
        let mut lines = 0;
        for second in 0..60 {
            let now = t0 + Duration::from_secs(second);
            lines += usize::from(fault.failed(now).is_some());
            lines += usize::from(fault.worked(now).is_some());
        }
        assert_eq!(lines, 1);
    }
}
