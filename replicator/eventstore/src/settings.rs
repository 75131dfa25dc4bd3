//! Settings that a connection string does not have, and defaults of those that it has.

use std::time::Duration;

use crate::error::{Error, Result};

/// Limits and times of a client. Values in the connection string take precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// Timeout of a request, counted from the open connection; also the longest pause between two
    /// events of a read, and the longest wait for the confirmation of a subscription.
    /// `defaultDeadline` in the connection string.
    pub request_timeout: Duration,
    /// Timeout of one attempt to connect to one node, including TLS.
    pub connect_timeout: Duration,
    /// Interval at which an idle connection is probed. A frozen server or a half-open connection is
    /// noticed within this time plus `keep_alive_timeout`. `keepAliveInterval`.
    pub keep_alive_interval: Duration,
    /// Timeout of the answer to a probe. `keepAliveTimeout`.
    pub keep_alive_timeout: Duration,
    /// Number of rounds in search of a node before a request fails. `maxDiscoverAttempts`.
    pub discover_attempts_max: u32,
    /// Pause between two rounds. `discoveryInterval`.
    pub discovery_interval: Duration,
    /// Time for a node to report the members of its cluster. `gossipTimeout`.
    pub gossip_timeout: Duration,
    /// The largest message accepted from the server. A larger event ends its read with `Rejected`.
    pub message_bytes_max: usize,
    /// Number of bytes that a server may send ahead on one stream.
    pub stream_window_bytes: u32,
    /// Number of bytes that a server may send ahead on one connection.
    pub connection_window_bytes: u32,
    /// Number of events that the server examines per page of a filtered subscription.
    pub filter_window_max: u32,
    /// Number of pages after which the server reports its position.
    pub filter_checkpoint_windows: u32,
    /// Largest number of acks and nacks that wait to be sent; when full, the next one waits.
    pub group_answers_max: usize,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(10),
            discover_attempts_max: 10,
            discovery_interval: Duration::from_millis(100),
            gossip_timeout: Duration::from_secs(5),
            message_bytes_max: 32 << 20,
            stream_window_bytes: 2 << 20,
            connection_window_bytes: 16 << 20,
            filter_window_max: 32,
            filter_checkpoint_windows: 32,
            group_answers_max: 256,
        }
    }
}

impl ClientSettings {
    /// Checks that every value is in range.
    ///
    /// # Errors
    /// `Rejected`, naming the first setting that is not.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("request_timeout", !self.request_timeout.is_zero()),
            ("connect_timeout", !self.connect_timeout.is_zero()),
            ("keep_alive_interval", !self.keep_alive_interval.is_zero()),
            ("keep_alive_timeout", !self.keep_alive_timeout.is_zero()),
            ("discover_attempts_max", self.discover_attempts_max > 0),
            ("gossip_timeout", !self.gossip_timeout.is_zero()),
            ("message_bytes_max", self.message_bytes_max > 0),
            ("filter_window_max", self.filter_window_max > 0),
            ("filter_checkpoint_windows", self.filter_checkpoint_windows > 0),
            ("group_answers_max", self.group_answers_max > 0),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, works)| !works) {
            return Err(Error::rejected(format!("`{name}`: expected more than zero, actual 0")));
        }
        let windows = [
            ("stream_window_bytes", self.stream_window_bytes),
            ("connection_window_bytes", self.connection_window_bytes),
        ];
        for (name, bytes) in windows {
            if !(65_535..=0x7fff_ffff).contains(&bytes) {
                return Err(Error::rejected(format!(
                    "`{name}`: expected 65535 to 2147483647, actual {bytes}"
                )));
            }
        }
        Ok(())
    }
}
