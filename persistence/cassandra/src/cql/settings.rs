//! Address of the server, and settings of its connections.

mod contact_point;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use antiphon_base::bounds::{self, HOUR};
use antiphon_base::secret::Secret;
use antiphon_base::{Error, Result};
use scylla::statement::{Consistency, SerialConsistency};
use serde::{Deserialize, Serialize};

use self::contact_point::is_contact_point;

/// A user of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Name of the user.
    pub user: String,
    /// Password of the user, which nothing shows: a printed configuration has stars.
    pub password: Secret,
}

/// Encryption of the connections. The server's certificate must name the address at which it is
/// reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the authorities that may have signed the server's certificate.
    pub ca_file: PathBuf,
    /// PEM file with this client's certificate, for servers that ask for one. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// PEM file with the private key of the certificate. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// Copies of a keyspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Replication {
    /// By data centre: `{ dc1 = 3 }` is `NetworkTopologyStrategy`.
    ByDataCenter(BTreeMap<String, u32>),
    /// A number for all of the cluster, `SimpleStrategy`: for development only.
    Simple(u32),
}

/// Address of the server, and settings of its connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Addresses of some nodes of the server, `host` or `host:port`. Default: `["127.0.0.1:9042"]`.
    pub contact_points: Vec<String>,
    /// The keyspace. Default: `antiphon`.
    pub keyspace: String,
    /// The place whose stores these are. Several places may share a keyspace. Default: the place of
    /// the node, or of the peer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// The data centre whose nodes are used; any when not set. Default: none.
    pub local_dc: Option<String>,
    /// User and password. Default: none.
    pub auth: Option<Auth>,
    /// Encryption. Default: none.
    pub tls: Option<Tls>,
    /// Copies of the keyspace when `schema apply` makes it. Default: none, and `schema apply` then
    /// refuses to make a keyspace.
    pub replication: Option<Replication>,
    /// Events in one partition of a stream; fixed by `schema apply`. Default: 10,000.
    pub partition_events_max: u64,
    /// Copies that must answer a write or read: `local_quorum`, `quorum`, `one`, `local_one`,
    /// `all`. Default: `local_quorum`.
    pub consistency: String,
    /// Scope in which conditional writes are decided: `local_serial` or `serial`. Default:
    /// `local_serial`.
    pub serial_consistency: String,
    /// Statements that are under way at the same time; more statements wait. Default: 256.
    pub requests_max: usize,
    /// Statements of coordination (members, leases, homes) that are under way at the same time, in
    /// addition to `requests_max`, on connections of their own; more statements wait. Default: 64.
    pub coordination_requests_max: usize,
    /// Time that a statement may take; after it the outcome is unknown. Longer than the server's
    /// own limits. Default: 5 s.
    #[serde(with = "antiphon_base::time::text")]
    pub request_timeout: Duration,
    /// Retry budget of a read, or of a write that may be repeated, after a failure or timeout.
    /// After it the failure is returned. Default: 10 s.
    #[serde(with = "antiphon_base::time::text")]
    pub repeat_timeout: Duration,
    /// Least time between two traces. The server traces the statement after a failed one; its
    /// tracing id is logged. 0 turns tracing off. Default: 10 s.
    #[serde(with = "antiphon_base::time::text")]
    pub trace_interval: Duration,
    /// Time that a connection attempt may take. Default: 3 s.
    #[serde(with = "antiphon_base::time::text")]
    pub connect_timeout: Duration,
    /// Time between two probes of an idle connection. Default: 2 s.
    #[serde(with = "antiphon_base::time::text")]
    pub keepalive_interval: Duration,
    /// Time that a probe may take; after it the connection is given up. Default: 3 s.
    #[serde(with = "antiphon_base::time::text")]
    pub keepalive_timeout: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            contact_points: vec!["127.0.0.1:9042".into()],
            keyspace: "antiphon".into(),
            place: String::new(),
            local_dc: None,
            auth: None,
            tls: None,
            replication: None,
            partition_events_max: 10_000,
            consistency: "local_quorum".into(),
            serial_consistency: "local_serial".into(),
            requests_max: 256,
            coordination_requests_max: 64,
            request_timeout: Duration::from_secs(5),
            repeat_timeout: Duration::from_secs(10),
            trace_interval: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            keepalive_interval: Duration::from_secs(2),
            keepalive_timeout: Duration::from_secs(3),
        }
    }
}

impl ServerSettings {
    /// Checks every setting.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and the expected value.
    pub fn validate(&self) -> Result<()> {
        let bad = |name: &str, expected: &str, actual: &str| {
            Err(Error::rejected(format!("`{name}`: expected {expected}, actual {actual:?}")))
        };
        if self.contact_points.is_empty() {
            return bad("contact_points", "at least one `host:port`", "none");
        }
        if let Some(point) = self.contact_points.iter().find(|point| !is_contact_point(point)) {
            return bad("contact_points", "`host` or `host:port` each", point);
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts = self.keyspace.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts || self.keyspace.len() > 48 || !self.keyspace.chars().all(word) {
            let expected = "a letter, then letters, digits and `_`, at most 48 in all";
            return bad("keyspace", expected, &self.keyspace);
        }
        bounds::number("partition_events_max", self.partition_events_max, 1000..=1 << 32)?;
        bounds::count("requests_max", self.requests_max, 1..=1 << 16)?;
        for (name, actual) in [
            ("request_timeout", self.request_timeout),
            ("repeat_timeout", self.repeat_timeout),
            ("connect_timeout", self.connect_timeout),
            ("keepalive_interval", self.keepalive_interval),
            ("keepalive_timeout", self.keepalive_timeout),
        ] {
            bounds::duration(name, actual, Duration::from_millis(1)..=HOUR)?;
        }
        bounds::duration("trace_interval", self.trace_interval, Duration::ZERO..=HOUR)?;
        let coordination = self.coordination_requests_max;
        bounds::count("coordination_requests_max", coordination, 1..=1 << 16)?;
        self.parsed_consistency()?;
        self.parsed_serial_consistency()?;
        if let Some(tls) = &self.tls {
            if !cfg!(feature = "tls") {
                let file = tls.ca_file.display().to_string();
                return bad("tls", "none, because this build has no TLS to the database", &file);
            }
            if tls.cert_file.is_some() != tls.key_file.is_some() {
                return bad("tls", "`cert_file` and `key_file` both, or none of them", "one");
            }
        }
        Ok(())
    }

    pub(crate) fn parsed_consistency(&self) -> Result<Consistency> {
        match self.consistency.as_str() {
            "local_quorum" => Ok(Consistency::LocalQuorum),
            "quorum" => Ok(Consistency::Quorum),
            "one" => Ok(Consistency::One),
            "local_one" => Ok(Consistency::LocalOne),
            "all" => Ok(Consistency::All),
            other => Err(Error::rejected(format!(
                "`consistency`: expected `local_quorum`, `quorum`, `one`, `local_one` or `all`, actual {other:?}"
            ))),
        }
    }

    pub(crate) fn parsed_serial_consistency(&self) -> Result<SerialConsistency> {
        match self.serial_consistency.as_str() {
            "local_serial" => Ok(SerialConsistency::LocalSerial),
            "serial" => Ok(SerialConsistency::Serial),
            other => Err(Error::rejected(format!(
                "`serial_consistency`: expected `local_serial` or `serial`, actual {other:?}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_and_never_shown() {
        let text = r#"{ "auth": { "user": "u", "password": "hunter2" } }"#;
        let settings: ServerSettings = serde_json::from_str(text).unwrap();
        let auth = settings.auth.as_ref().unwrap();
        assert_eq!(auth.password.expose(), "hunter2");
        for shown in [format!("{settings:?}"), serde_json::to_string(&settings).unwrap()] {
            assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        }
    }
}
