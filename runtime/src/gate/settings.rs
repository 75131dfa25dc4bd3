//! Limits of the links between nodes.

use std::time::Duration;

use antiphon_base::bounds::{self, HOUR};

use crate::transport::FRAME_BYTES_MAX;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Limits of the links of one node. Plain values; the defaults fit most clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateSettings {
    /// Limit of the bytes of a message, request or answer. A longer one is refused with `TooLarge`.
    pub message_bytes_max: usize,
    /// Limit of the bytes that wait for one other node. Beyond, tells get `Full` and asks
    /// `Overloaded`; answers too are dropped, and counted.
    pub queue_bytes_max: usize,
    /// Limit of the messages that wait for one other node. Beyond, as with `queue_bytes_max`.
    pub queue_messages_max: usize,
    /// Limit of the bytes under way to one other node that it has not acknowledged. Beyond,
    /// messages wait in the queue.
    pub window_bytes_max: usize,
    /// Limit of the frames under way to one other node that it has not acknowledged. Beyond,
    /// messages wait in the queue.
    pub window_frames_max: usize,
    /// Limit of the asks to one other node without an answer yet. Beyond, asks get `Overloaded`.
    pub asks_max: usize,
    /// Limit of the frames that arrived too early and wait for earlier frames. Beyond, the link
    /// starts anew.
    pub reorder_frames_max: usize,
    /// Limit of the bytes from one other node that have arrived and are not with their receivers
    /// yet: frames that came too early, the parts of a long message, messages that wait behind it.
    /// Beyond, the link starts anew.
    pub received_peer_bytes_max: usize,
    /// Limit of the same bytes of all other nodes together.
    pub received_bytes_max: usize,
    /// Limit of the bytes for all connected nodes together that are no members, or not yet: bytes
    /// that have arrived as above, requests without an answer, and messages that wait for these
    /// nodes. Beyond, a link starts anew, and requests get `Overloaded`.
    pub strangers_bytes_max: usize,
    /// Limit of the requests of one other node that have no answer yet. Beyond, requests get
    /// `Overloaded`.
    pub served_asks_max: usize,
    /// Limit of the bytes of these requests. Beyond, requests get `Overloaded`.
    pub served_bytes_max: usize,
    /// Time that the parts of one message may take to arrive; then the link starts anew.
    #[serde(with = "antiphon_base::time::text")]
    pub unfinished_timeout: Duration,
    /// A message up to this number of bytes is handed to its receiver where it arrives. A longer
    /// one, and the messages behind it, are handed over by a task of their own, so that probes and
    /// answers do not wait for them.
    pub direct_bytes_max: usize,
    /// Limit of the wait for a missing frame. Then the link starts anew: the messages under way are
    /// lost, and their asks fail with `Unreachable`.
    #[serde(with = "antiphon_base::time::text")]
    pub gap_timeout: Duration,
    /// Limit of the time in which a full window gets no acknowledgement; then as with
    /// `gap_timeout`.
    #[serde(with = "antiphon_base::time::text")]
    pub stall_timeout: Duration,
    /// Time between two checks of `unfinished_timeout`, `gap_timeout` and `stall_timeout`.
    #[serde(with = "antiphon_base::time::text")]
    pub tick_interval: Duration,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            message_bytes_max: 8 * 1024 * 1024,
            queue_bytes_max: 32 * 1024 * 1024,
            queue_messages_max: 65_536,
            window_bytes_max: 2 * 1024 * 1024,
            window_frames_max: 4_096,
            asks_max: 65_536,
            reorder_frames_max: 256,
            received_peer_bytes_max: 32 * 1024 * 1024,
            received_bytes_max: 256 * 1024 * 1024,
            strangers_bytes_max: 10 * 1024 * 1024,
            served_asks_max: 65_536,
            served_bytes_max: 128 * 1024 * 1024,
            unfinished_timeout: Duration::from_secs(60),
            direct_bytes_max: 64 * 1024,
            gap_timeout: Duration::from_millis(250),
            stall_timeout: Duration::from_secs(5),
            tick_interval: Duration::from_millis(100),
        }
    }
}

impl GateSettings {
    /// The most frames that a link gives to the transport before the transport has sent one: those
    /// of the window, of urgent messages, and acknowledgements.
    pub fn frames_at_once_max(&self) -> usize {
        self.window_frames_max + self.window_frames_max / 32 + 128
    }

    /// Checks that the limits fit each other.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and the expected value.
    pub fn validate(&self) -> Result<()> {
        bounds::count("message_bytes_max", self.message_bytes_max, 1024..=1 << 30)?;
        bounds::count("queue_bytes_max", self.queue_bytes_max, 1024..=1 << 32)?;
        bounds::count("queue_messages_max", self.queue_messages_max, 1..=1 << 24)?;
        bounds::count("window_bytes_max", self.window_bytes_max, 1..=1 << 30)?;
        bounds::count("window_frames_max", self.window_frames_max, 64..=1 << 20)?;
        bounds::count("asks_max", self.asks_max, 1..=1 << 24)?;
        bounds::count("reorder_frames_max", self.reorder_frames_max, 0..=1 << 20)?;
        let received_peer = self.received_peer_bytes_max;
        bounds::count("received_peer_bytes_max", received_peer, 1024..=1 << 33)?;
        bounds::count("received_bytes_max", self.received_bytes_max, 1024..=1 << 36)?;
        bounds::count("strangers_bytes_max", self.strangers_bytes_max, 1024..=1 << 36)?;
        bounds::count("served_asks_max", self.served_asks_max, 1..=1 << 24)?;
        bounds::count("served_bytes_max", self.served_bytes_max, 1024..=1 << 36)?;
        bounds::count("direct_bytes_max", self.direct_bytes_max, 0..=1 << 30)?;
        bounds::duration("unfinished_timeout", self.unfinished_timeout, Duration::ZERO..=HOUR)?;
        bounds::duration("gap_timeout", self.gap_timeout, Duration::ZERO..=HOUR)?;
        bounds::duration("stall_timeout", self.stall_timeout, Duration::ZERO..=HOUR)?;
        bounds::duration("tick_interval", self.tick_interval, Duration::ZERO..=HOUR)?;
        let at_least = |name: &str, actual: usize, limit: usize, other: &str| {
            if actual < limit {
                return Err(Error::rejected(format!(
                    "`{name}`: expected at least {other} ({limit}), actual {actual}"
                )));
            }
            Ok(())
        };
        let messages = "`message_bytes_max`";
        at_least("queue_bytes_max", self.queue_bytes_max, self.message_bytes_max, messages)?;
        let served = self.served_bytes_max;
        at_least("served_bytes_max", served, self.message_bytes_max + 4096, "a message")?;
        let frames = "two frames";
        at_least("window_bytes_max", self.window_bytes_max, 2 * FRAME_BYTES_MAX, frames)?;
        let two_messages =
            self.message_bytes_max.saturating_add(self.window_bytes_max).saturating_mul(2);
        let other = "`message_bytes_max` and `window_bytes_max` twice";
        let received = self.received_peer_bytes_max;
        at_least("received_peer_bytes_max", received, two_messages, other)?;
        let other = "`received_peer_bytes_max`";
        at_least("received_bytes_max", self.received_bytes_max, received, other)?;
        if self.unfinished_timeout < self.stall_timeout {
            return Err(Error::rejected(format!(
                "`unfinished_timeout`: expected at least `stall_timeout` ({:?}), actual {:?}",
                self.stall_timeout, self.unfinished_timeout
            )));
        }
        if self.stall_timeout < self.gap_timeout {
            return Err(Error::rejected(format!(
                "`stall_timeout`: expected at least `gap_timeout` ({:?}), actual {:?}",
                self.gap_timeout, self.stall_timeout
            )));
        }
        if self.tick_interval.is_zero() || self.gap_timeout < self.tick_interval {
            return Err(Error::rejected(format!(
                "`gap_timeout`: expected at least `tick_interval` ({:?}) above zero, actual {:?}",
                self.tick_interval, self.gap_timeout
            )));
        }
        Ok(())
    }
}
