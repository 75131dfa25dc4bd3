//! How a server is set up.

use std::time::Duration;

use antiphon_eventstore::{Credentials, Error, ErrorKind, Result};

/// Settings of a [`crate::TestServer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where to listen; port 0 takes a free one, which a restart keeps.
    pub listen: String,
    /// A file that keeps everything, so that a killed server comes back as it was. None keeps it in
    /// memory, where it outlives a restart of the server but not of the process.
    pub file: Option<String>,
    /// The user and password that requests must carry; none lets everybody in.
    pub credentials: Option<Credentials>,
    /// A certificate and its key in PEM form; none speaks without TLS.
    pub tls: Option<TlsFiles>,
    /// The largest append, payloads and metadata together. A larger one is rejected.
    pub append_bytes_max: usize,
    /// How many event ids are remembered for appends that expect nothing; older ones are forgotten.
    pub remembered_ids_max: usize,
    /// Whether events are linked to `$ce-<category>`.
    pub link_categories: bool,
    /// Whether events are linked to `$et-<type>`.
    pub link_types: bool,
    /// The largest message that is accepted.
    pub message_bytes_max: usize,
    /// How long a request may be held by a fault before it fails as unavailable.
    pub hold_max: Duration,
    /// The members that the server tells of; empty is itself as leader.
    pub members: Vec<ClusterMember>,
}

/// Files in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the server and those that vouch for it.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// A member of a cluster, as told to those who ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMember {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is the leader; else it is a follower.
    pub is_leader: bool,
    /// Whether it is alive.
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
            remembered_ids_max: 1_000_000,
            link_categories: true,
            link_types: false,
            message_bytes_max: 32 << 20,
            hold_max: Duration::from_secs(300),
            members: Vec::new(),
        }
    }
}

impl ServerSettings {
    /// Checks that the values can work.
    ///
    /// # Errors
    /// `Rejected`, naming the first setting that cannot.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("append_bytes_max", self.append_bytes_max),
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
