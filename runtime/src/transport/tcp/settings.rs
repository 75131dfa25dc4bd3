//! The limits of the TCP transport.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use antiphon_base::bounds::{self, HOUR};
use antiphon_base::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::gate::GateSettings;
use crate::{Error, Result};

/// The files with the certificates of links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkTls {
    /// PEM file with the authorities whose certificates are believed. While authorities change, it
    /// has the old one and the new one.
    pub ca_file: PathBuf,
    /// PEM file with the certificate of this node, and those of its authorities below the root.
    pub cert_file: PathBuf,
    /// PEM file with the private key of the certificate.
    pub key_file: PathBuf,
}

/// The limits of the TCP transport. Plain values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpSettings {
    /// The secret that both sides of a connection must know; empty for none. A node without it is
    /// not greeted; it does not hide the sent bytes.
    pub cookie: Secret,
    /// The cluster; a connection from another cluster is refused. The name in the node's settings
    /// replaces this one.
    #[serde(skip)]
    pub cluster_name: String,
    /// The place of the node. The place in the node's settings replaces this one.
    #[serde(skip)]
    pub place: String,
    /// The certificates of links, which encrypt them and prove who each side is. Default: none,
    /// which a node takes on a loopback address only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<LinkTls>,
    /// Lets a node listen on any address without certificates: whoever reaches the address, or the
    /// network between, owns the node. Default: `false`.
    pub insecure: bool,
    /// Interval at which changed files of certificates are noticed.
    #[serde(with = "antiphon_base::time::text")]
    pub tls_reload_interval: Duration,
    /// Time that a connection may take until its first frame; then it is closed.
    #[serde(with = "antiphon_base::time::text")]
    pub handshake_timeout: Duration,
    /// Limit of the accepted connections that have not greeted yet. Beyond, the oldest one of the
    /// address with the most of them gives way to a new one; addresses of members come last.
    pub greeting_max: usize,
    /// Limit of such connections from one IPv4 address, or from one IPv6 network of 64 bits.
    /// Beyond, the oldest one gives way to a new one.
    pub greeting_address_max: usize,
    /// Limit of the accepted connections after the greeting. Beyond, a member takes the place of a
    /// node that is no member, and others are closed.
    pub connections_max: usize,
    /// Limit of the accepted connections of nodes that are no members, or not yet: a node that
    /// starts is one until its row is seen. Beyond, the oldest one of the address with the most of
    /// them gives way to a new one.
    pub strangers_max: usize,
    /// Limit of the bytes of frames that such a node can send in a second; more wait in its own
    /// machine. When half as many bytes wait here for such a node, its connection is closed.
    pub strangers_bytes_per_second_max: usize,
    /// Limit of the streams that members have opened; others are refused. A node has one from each
    /// member with a smaller id, for each purpose (such as plain actors).
    pub streams_max: usize,
    /// Time that sent bytes may stay without an acknowledgement of the other machine; then the
    /// connection breaks.
    #[serde(with = "antiphon_base::time::text")]
    pub user_timeout: Duration,
    /// First wait before a connection is tried again; it doubles up to `retry_max`, until a
    /// connection has lasted for `retry_max`.
    #[serde(with = "antiphon_base::time::text")]
    pub retry_min: Duration,
    /// Longest wait before a connection is tried again.
    #[serde(with = "antiphon_base::time::text")]
    pub retry_max: Duration,
    /// Limit of the frames that wait for one connection; beyond, `Full`.
    pub queue_frames_max: usize,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            cookie: Secret::default(),
            cluster_name: "antiphon".into(),
            place: String::new(),
            tls: None,
            insecure: false,
            tls_reload_interval: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(3),
            greeting_max: 1024,
            greeting_address_max: 512,
            connections_max: 1024,
            strangers_max: 32,
            strangers_bytes_per_second_max: 2 * 1024 * 1024,
            streams_max: 1024,
            user_timeout: Duration::from_secs(5),
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(1),
            queue_frames_max: 8192,
        }
    }
}

impl TcpSettings {
    /// Checks every value.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and the expected value.
    pub fn validate(&self) -> Result<()> {
        let second = Duration::from_secs(1);
        let millisecond = Duration::from_millis(1);
        bounds::duration("handshake_timeout", self.handshake_timeout, millisecond..=HOUR)?;
        bounds::duration("tls_reload_interval", self.tls_reload_interval, second / 10..=HOUR)?;
        bounds::count("greeting_max", self.greeting_max, 1..=1 << 16)?;
        bounds::count("greeting_address_max", self.greeting_address_max, 1..=1 << 16)?;
        bounds::count("connections_max", self.connections_max, 1..=1 << 20)?;
        bounds::count("strangers_max", self.strangers_max, 1..=1 << 20)?;
        bounds::count("streams_max", self.streams_max, 1..=1 << 20)?;
        let rate = self.strangers_bytes_per_second_max;
        bounds::count("strangers_bytes_per_second_max", rate, 1 << 16..=1 << 36)?;
        // the operating system takes it in milliseconds, and zero for its own default of many
        // minutes
        bounds::duration("user_timeout", self.user_timeout, second / 10..=HOUR)?;
        bounds::duration("retry_min", self.retry_min, millisecond..=HOUR)?;
        bounds::duration("retry_max", self.retry_max, millisecond..=HOUR)?;
        bounds::at_least(("retry_max", self.retry_max), (self.retry_min, "`retry_min`"))?;
        bounds::count("queue_frames_max", self.queue_frames_max, 1..=1 << 24)
    }

    /// Limit of the bytes that wait for a node that is no member.
    pub(super) fn strangers_queue_bytes_max(&self) -> usize {
        self.strangers_bytes_per_second_max / 2
    }

    /// Checks that links are protected where strangers may reach them: on every address but those
    /// of this machine.
    ///
    /// # Errors
    /// `Rejected`, with the command that makes certificates.
    pub fn check_protection(&self, bind: SocketAddr) -> Result<()> {
        if self.tls.is_some() || self.insecure || bind.ip().is_loopback() {
            return Ok(());
        }
        Err(Error::rejected(format!(
            "`links.tls`: expected certificates, because others can reach `bind` {bind}: `antiphon cert` makes them; \
             `links.insecure = true` starts a node that everyone in its network owns"
        )))
    }

    /// Checks that the queue of a connection takes all frames that a link sends at once. A frame
    /// that finds no room is lost, and with it the message.
    ///
    /// # Errors
    /// `Rejected`, naming both settings.
    pub fn validate_with(&self, gate: &GateSettings) -> Result<()> {
        let (actual, needed) = (self.queue_frames_max, gate.frames_at_once_max());
        if actual >= needed {
            return Ok(());
        }
        Err(Error::rejected(format!(
            "`queue_frames_max`: expected at least {needed}, for `window_frames_max` {} with urgent frames and answers, actual {actual}",
            gate.window_frames_max
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_smaller_than_the_window_is_refused() {
        let gate = GateSettings::default();
        let with = |queue_frames_max| TcpSettings { queue_frames_max, ..TcpSettings::default() };
        with(gate.frames_at_once_max()).validate_with(&gate).unwrap();
        TcpSettings::default().validate_with(&gate).unwrap();
        let error = with(gate.frames_at_once_max() - 1).validate_with(&gate).unwrap_err();
        assert!(
            error.to_string().contains("`queue_frames_max`: expected at least 4352"),
            "{error}"
        );
    }
    #[test]
    fn links_that_strangers_reach_need_certificates_or_the_word_that_they_are_insecure() {
        let plain = TcpSettings::default();
        let insecure = TcpSettings { insecure: true, ..TcpSettings::default() };
        let file = |name: &str| PathBuf::from(name);
        let (ca_file, cert_file, key_file) = (file("ca"), file("cert"), file("key"));
        let tls = Some(LinkTls { ca_file, cert_file, key_file });
        let secured = TcpSettings { tls, ..TcpSettings::default() };
        for bind in ["127.0.0.1:1", "127.8.0.1:0", "[::1]:1"] {
            plain.check_protection(bind.parse().unwrap()).unwrap();
        }
        for bind in ["0.0.0.0:1", "10.0.0.1:7000", "[::]:1", "[fe80::1]:1", "[::ffff:10.0.0.1]:1"] {
            let bind = bind.parse().unwrap();
            let error = plain.check_protection(bind).unwrap_err().to_string();
            let parts = ["`links.tls`", "`bind`", &bind.to_string(), "`antiphon cert`"];
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
            insecure.check_protection(bind).unwrap();
            secured.check_protection(bind).unwrap();
        }
    }
}
