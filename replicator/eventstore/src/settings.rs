//! What a connection string cannot say, or does not.

use std::time::Duration;

use crate::error::{Error, Result};

/// Limits and times of a client. What the connection string says itself wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// How long one request may take, from the moment the connection stands; also how long a read may go without
    /// an event and how long a new subscription may stay unconfirmed. `defaultDeadline` in the connection string.
    pub request_timeout: Duration,
    /// How long one attempt to connect to one node may take, TLS included.
    pub connect_timeout: Duration,
    /// How often an idle connection is probed. With `keep_alive_timeout` it bounds how long a frozen
    /// server or a half-open connection stays unnoticed. `keepAliveInterval`.
    pub keep_alive_interval: Duration,
    /// How long the answer to a probe may take. `keepAliveTimeout`.
    pub keep_alive_timeout: Duration,
    /// How often a node is looked for before a request fails. `maxDiscoverAttempts`.
    pub discover_attempts_max: u32,
    /// The pause between two rounds of that. `discoveryInterval`.
    pub discovery_interval: Duration,
    /// How long one node may take to say who is in the cluster. `gossipTimeout`.
    pub gossip_timeout: Duration,
    /// The largest message that is accepted from the server. A larger event ends its read as rejected.
    pub message_bytes_max: usize,
    /// What a server may send ahead on one stream before it has to wait.
    pub stream_window_bytes: u32,
    /// What a server may send ahead on one connection before it has to wait.
    pub connection_window_bytes: u32,
    /// How many events the server looks at for one page of a filtered subscription.
    pub filter_window_max: u32,
    /// After how many such pages it reports how far it is.
    pub filter_checkpoint_windows: u32,
    /// Acks and nacks that wait for the connection of a group; when full, the next one waits.
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
    /// Checks that the values can work.
    ///
    /// # Errors
    /// `Rejected`, naming the first setting that cannot.
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
