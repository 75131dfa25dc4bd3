//! Settings of a server.

use std::time::Duration;

use antiphon_eventstore::{Credentials, Error, ErrorKind, Result};

/// Settings of a [`crate::TestServer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Address to listen at; port 0 takes a free port, which a restart keeps.
    pub listen: String,
    /// File for all data, so that a killed server continues with it. None keeps the data in memory,
    /// where it outlives a restart of the server but not of the process.
    pub file: Option<String>,
    /// The user and password that requests must have; none admits every client.
    pub credentials: Option<Credentials>,
    /// A certificate and its key in PEM form; none disables TLS.
    pub tls: Option<TlsFiles>,
    /// The largest append in bytes: payloads, metadata, and two bytes for each letter of the types.
    /// A larger one is rejected.
    pub append_bytes_max: usize,
    /// The largest event of an append in bytes, counted in the same way. A larger one is rejected.
    pub event_bytes_max: usize,
    /// Number of event ids remembered for appends with any revision; older ones are forgotten.
    pub remembered_ids_max: usize,
    /// True when events are linked to `$ce-<category>`.
    pub link_categories: bool,
    /// The largest accepted message in bytes.
    pub message_bytes_max: usize,
    /// Longest time for which a fault holds a request. Then it fails as unavailable.
    pub hold_max: Duration,
    /// The members that the server reports; if empty, only itself as the leader.
    pub members: Vec<ClusterMember>,
}

/// Files in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the server and its chain.
    pub certificate: String,
    /// The key of the certificate.
    pub key: String,
}

/// A cluster member in the server's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMember {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// True for the leader, false for a follower.
    pub is_leader: bool,
    /// True when it is alive.
    pub is_alive: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            file: None,
            credentials: None,
            tls: None,
            append_bytes_max: 1 << 20,
            event_bytes_max: 16 << 20,
            remembered_ids_max: 1_000_000,
            link_categories: true,
            message_bytes_max: 32 << 20,
            hold_max: Duration::from_secs(300),
            members: Vec::new(),
        }
    }
}

impl ServerSettings {
    /// Checks that every value is in range.
    ///
    /// # Errors
    /// `Rejected`, naming the first setting that is not.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("append_bytes_max", self.append_bytes_max),
            ("event_bytes_max", self.event_bytes_max),
            ("message_bytes_max", self.message_bytes_max),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(Error::new(
                ErrorKind::Rejected,
                format!("`{name}`: expected more than zero, actual 0"),
            )),
            None => Ok(()),
        }
    }
}
