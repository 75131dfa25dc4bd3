//! The requests of one other node that have no answer yet: their number and bytes are bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::ask_error::AskError;
use super::link::Budget;
use super::settings::GateSettings;

/// Memory that a request takes beside its bytes.
const OVERHEAD_BYTES: usize = 256;
/// Room for the requests of urgent services and for short requests beyond the limit of bytes, so
/// that probes and questions about homes are answered while long commands of an application wait.
const URGENT_MAX: usize = 1024;
/// Most bytes of a short request.
const SHORT_BYTES_MAX: usize = 1024;

/// The requests of one other node that have no answer yet.
#[derive(Debug)]
pub(crate) struct Served {
    asks: AtomicUsize,
    bytes: AtomicUsize,
    asks_max: usize,
    bytes_max: usize,
    /// The budget that all nodes share that are no members.
    strangers: Arc<Budget>,
    is_stranger: AtomicBool,
}

/// The limit that leaves no room for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) setting: &'static str,
    limit: usize,
}

impl From<Over> for AskError {
    fn from(over: Over) -> Self {
        Self::Overloaded(format!("`{}` {} of the other node", over.setting, over.limit))
    }
}

/// The share of one request, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Serving {
    served: Arc<Served>,
    bytes: usize,
    is_stranger: bool,
}

impl Served {
    /// The requests of a node that is no member yet.
    pub(super) fn new(settings: &GateSettings, strangers: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            asks: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            asks_max: settings.served_asks_max,
            bytes_max: settings.served_bytes_max,
            strangers,
            is_stranger: AtomicBool::new(true),
        })
    }

    /// Notes that the node is a member.
    pub(super) fn join(&self) {
        self.is_stranger.store(false, Ordering::Release);
    }

    /// Takes a request of that many bytes, for an urgent service or another one.
    ///
    /// # Errors
    /// The limit, when there is no room: then nothing is taken.
    pub(super) fn begin(self: &Arc<Self>, is_urgent: bool, bytes: usize) -> Result<Serving, Over> {
        let bytes = bytes + OVERHEAD_BYTES;
        let is_stranger = self.is_stranger.load(Ordering::Acquire);
        if is_stranger && !self.strangers.take(bytes) {
            let limit = self.strangers.bytes_max();
            return Err(Over { setting: "strangers_bytes_max", limit });
        }
        // from here on the drop gives back what was taken
        let serving = Serving { served: self.clone(), bytes, is_stranger };
        let is_short = bytes <= SHORT_BYTES_MAX + OVERHEAD_BYTES;
        let asks_reserve = if is_urgent { URGENT_MAX } else { 0 };
        let bytes_reserve = if is_urgent || is_short { self.bytes_max } else { 0 };
        let asks = self.asks.fetch_add(1, Ordering::AcqRel);
        let before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if asks >= self.asks_max + asks_reserve {
            return Err(Over { setting: "served_asks_max", limit: self.asks_max });
        }
        if before + bytes > self.bytes_max + bytes_reserve {
            return Err(Over { setting: "served_bytes_max", limit: self.bytes_max });
        }
        Ok(serving)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.served.asks.fetch_sub(1, Ordering::AcqRel);
        self.served.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if self.is_stranger {
            self.served.strangers.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: bool = false;
    const PROBE: bool = true;

    fn served(asks_max: usize, bytes_max: usize) -> (Arc<Budget>, Arc<Served>) {
        let strangers = Budget::new(10_000);
        let settings = GateSettings {
            served_asks_max: asks_max,
            served_bytes_max: bytes_max,
            ..GateSettings::default()
        };
        (strangers.clone(), Served::new(&settings, strangers))
    }

    fn over(begun: Result<Serving, Over>) -> (&'static str, usize) {
        let Over { setting, limit } = begun.unwrap_err();
        (setting, limit)
    }

    #[test]
    fn requests_beyond_a_limit_are_refused_until_others_are_answered() {
        let (_, served) = served(2, 100_000);
        served.join();
        let first = served.begin(ASK, 10).unwrap();
        let _second = served.begin(ASK, 10).unwrap();
        assert_eq!(over(served.begin(ASK, 10)), ("served_asks_max", 2));
        assert!(served.begin(PROBE, 10).is_ok(), "a probe has room of its own");
        drop(first);
        let _third = served.begin(ASK, 10).unwrap();
        assert_eq!(over(served.begin(PROBE, 300_000)), ("served_bytes_max", 100_000));
    }

    #[test]
    fn short_requests_have_room_while_long_ones_take_all_bytes() {
        let (_, served) = served(1000, 100_000);
        served.join();
        let _long = served.begin(ASK, 99_000).unwrap();
        assert_eq!(over(served.begin(ASK, SHORT_BYTES_MAX + 1)), ("served_bytes_max", 100_000));
        let _short = served.begin(ASK, SHORT_BYTES_MAX).unwrap();
    }

    #[test]
    fn strangers_share_a_budget_that_members_do_not_need() {
        let (strangers, served) = served(1000, 1_000_000);
        let taken = served.begin(ASK, 9_000).unwrap();
        assert_eq!(strangers.used(), 9_000 + OVERHEAD_BYTES);
        assert_eq!(over(served.begin(ASK, 1_000)), ("strangers_bytes_max", 10_000));
        served.join();
        let _more = served.begin(ASK, 100_000).unwrap();
        drop(taken);
        assert_eq!(strangers.used(), 0);
    }
}
