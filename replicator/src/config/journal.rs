//! The sections `Settings:Journal` and `Settings:Subscriptions:*:Journal`: the location of an
//! Antiphon journal, an SQLite file or a Cassandra.
//!
//! The keys are the keys of a node's table `journal`, in the spelling of the replicator's keys.

use std::time::Duration;

use antiphon_cassandra::cql::{Auth, ServerSettings, Tls};
use antiphon_persistence::identity::ReplicaId;

use super::problems::Problems;
use super::reader::{Choice, Reader, choice};
use super::secret::Secret;
use crate::{Error, Result};

choice! {
    /// The kind of store that holds a journal.
    JournalKind {
        /// A file, named by `JournalPath`.
        Sqlite = "sqlite",
        /// Apache Cassandra or ScyllaDB.
        Cassandra = "cassandra",
    }
}

choice! {
    /// Copies that must answer a write or read.
    Consistency {
        /// A majority of the copies in the data centre.
        LocalQuorum = "local_quorum",
        /// A majority of all copies.
        Quorum = "quorum",
        /// Any copy.
        One = "one",
        /// Any copy in the data centre.
        LocalOne = "local_one",
        /// All copies.
        All = "all",
    }
}

choice! {
    /// The copies among which conditional writes are decided.
    SerialConsistency {
        /// The copies in the data centre.
        LocalSerial = "local_serial",
        /// All copies.
        Serial = "serial",
    }
}

/// The location of a journal. All fields but `kind` apply to Cassandra only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSettings {
    /// The kind of store that holds the journal.
    pub kind: JournalKind,
    /// Some nodes of the cluster, `host` or `host:port`.
    pub contact_points: Vec<String>,
    /// The keyspace.
    pub keyspace: String,
    /// The place that the journal belongs to: several places may share a keyspace.
    pub place: String,
    /// The data centre whose nodes are used; without it, nodes of any data centre.
    pub local_dc: Option<String>,
    /// The user; none without a log-in.
    pub user: Option<String>,
    /// The user's password.
    pub password: Secret,
    /// PEM file with the authorities that may have signed the servers' certificates; none without
    /// encryption.
    pub ca_file: Option<String>,
    /// PEM file with the client's own certificate, for servers that ask for one.
    pub cert_file: Option<String>,
    /// PEM file with the private key of `cert_file`.
    pub key_file: Option<String>,
    /// Copies that must answer a write or read.
    pub consistency: Consistency,
    /// The copies among which conditional writes are decided.
    pub serial_consistency: SerialConsistency,
    /// Statements under way at the same time; further ones wait.
    pub requests_max: usize,
    /// Longest time of a statement; then its outcome is unknown.
    pub request_timeout: Duration,
    /// Retry budget of a statement that may be repeated, such as a read.
    pub repeat_timeout: Duration,
    /// Longest time to open a connection.
    pub connect_timeout: Duration,
    /// Interval at which an idle connection is probed.
    pub keepalive_interval: Duration,
    /// Longest wait for the answer to such a probe.
    pub keepalive_timeout: Duration,
}

impl Default for JournalSettings {
    fn default() -> Self {
        let server = ServerSettings::default();
        Self {
            kind: JournalKind::Sqlite,
            contact_points: Vec::new(),
            keyspace: server.keyspace,
            place: String::new(),
            local_dc: None,
            user: None,
            password: Secret::default(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            consistency: Consistency::LocalQuorum,
            serial_consistency: SerialConsistency::LocalSerial,
            requests_max: server.requests_max,
            request_timeout: server.request_timeout,
            repeat_timeout: server.repeat_timeout,
            connect_timeout: server.connect_timeout,
            keepalive_interval: server.keepalive_interval,
            keepalive_timeout: server.keepalive_timeout,
        }
    }
}

impl JournalSettings {
    /// The settings of the Cassandra client.
    pub fn server(&self) -> ServerSettings {
        let password = self.password.clone();
        ServerSettings {
            contact_points: self.contact_points.clone(),
            keyspace: self.keyspace.clone(),
            place: self.place.clone(),
            local_dc: self.local_dc.clone(),
            auth: self.user.clone().map(|user| Auth { user, password }),
            tls: self.ca_file.as_ref().map(|ca_file| Tls {
                ca_file: ca_file.into(),
                cert_file: self.cert_file.as_ref().map(Into::into),
                key_file: self.key_file.as_ref().map(Into::into),
            }),
            consistency: self.consistency.word().to_owned(),
            serial_consistency: self.serial_consistency.word().to_owned(),
            requests_max: self.requests_max,
            request_timeout: self.request_timeout,
            repeat_timeout: self.repeat_timeout,
            connect_timeout: self.connect_timeout,
            keepalive_interval: self.keepalive_interval,
            keepalive_timeout: self.keepalive_timeout,
            ..ServerSettings::default()
        }
    }

    /// Reads the certificate and key files, as a connection will.
    ///
    /// # Errors
    /// `Rejected`, naming the key, the file and the expected content.
    pub fn check_files(&self, key: &str) -> Result<()> {
        let Some(tls) = self.server().tls else { return Ok(()) };
        tls.check_files().map_err(|error| {
            let names = [("ca_file", "CaFile"), ("cert_file", "CertFile"), ("key_file", "KeyFile")];
            let message = names.iter().fold(error.to_string(), |message, (theirs, ours)| {
                message.replace(&format!("`tls.{theirs}`"), &format!("`{key}:Tls:{ours}`"))
            });
            Error::rejected(message).with_source(error)
        })
    }

    pub(super) fn read(reader: &Reader<'_>, key: &str) -> Self {
        let default = Self::default();
        let at = |name: &str| format!("{key}:{name}");
        let span = |name: &str, default| reader.span(&at(name), default);
        let kind = reader.choice(&at("Kind"), default.kind);
        if reader.children(key).iter().all(|name| name.eq_ignore_ascii_case("Kind"))
            && kind == JournalKind::Sqlite
        {
            return default;
        }
        Self {
            kind,
            contact_points: reader.texts(&at("ContactPoints")),
            keyspace: reader.text(&at("Keyspace"), &default.keyspace),
            place: reader.text(&at("Place"), ""),
            local_dc: reader.optional(&at("LocalDc")),
            user: reader.optional(&at("Auth:User")),
            password: reader.secret(&at("Auth:Password")),
            ca_file: reader.optional(&at("Tls:CaFile")),
            cert_file: reader.optional(&at("Tls:CertFile")),
            key_file: reader.optional(&at("Tls:KeyFile")),
            consistency: reader.choice(&at("Consistency"), default.consistency),
            serial_consistency: reader.choice(&at("SerialConsistency"), default.serial_consistency),
            requests_max: reader.number(&at("RequestsMax"), default.requests_max),
            request_timeout: span("RequestTimeout", default.request_timeout),
            repeat_timeout: span("RepeatTimeout", default.repeat_timeout),
            connect_timeout: span("ConnectTimeout", default.connect_timeout),
            keepalive_interval: span("KeepaliveInterval", default.keepalive_interval),
            keepalive_timeout: span("KeepaliveTimeout", default.keepalive_timeout),
        }
    }

    /// Checks the section `key` of a journal that is used. `path` is the path of its SQLite file,
    /// if given.
    pub(super) fn check(&self, key: &str, path: Option<&str>, problems: &mut Problems) {
        let (kind_key, path_key) = (format!("{key}:Kind"), format!("{key}Path"));
        match self.kind {
            JournalKind::Sqlite => {
                let expected = format!(
                    "the path of a journal's SQLite file; for a Cassandra set `{kind_key}` to `cassandra`"
                );
                problems.required(&path_key, path.unwrap_or_default(), &expected);
                if *self != Self::default() {
                    let expected = format!("`cassandra`, because other keys of `{key}` are given");
                    problems.expected(&kind_key, self.kind.word(), &expected);
                }
            }
            JournalKind::Cassandra => {
                if let Some(path) = path {
                    let expected = format!("none, because `{kind_key}` is `cassandra`");
                    problems.expected(&path_key, path, &expected);
                }
                self.check_server(key, problems);
            }
        }
    }

    fn check_server(&self, key: &str, problems: &mut Problems) {
        let at = |name: &str| format!("{key}:{name}");
        if self.contact_points.is_empty() {
            let expected = "at least one `host` or `host:port`";
            problems.required(&at("ContactPoints"), "", expected);
        }
        for (index, point) in self.contact_points.iter().enumerate() {
            if !is_contact_point(point) {
                let key = at(&format!("ContactPoints:{index}"));
                problems.expected(&key, point, "`host` or `host:port`, as in `10.0.0.1:9042`");
            }
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts = self.keyspace.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts || self.keyspace.len() > 48 || !self.keyspace.chars().all(is_word) {
            let expected = "a letter, then letters, digits and `_`, at most 48 in all";
            problems.expected(&at("Keyspace"), &self.keyspace, expected);
        }
        let place = "the name of the place whose journal it is, `node.place` of its nodes";
        problems.required(&at("Place"), &self.place, place);
        if !self.place.is_empty()
            && let Err(error) = ReplicaId::new(&self.place)
        {
            problems.expected(&at("Place"), &self.place, &format!("{place}: {error}"));
        }
        self.check_access(key, problems);
        let requests = u64::try_from(self.requests_max).unwrap_or(u64::MAX);
        problems.number(&at("RequestsMax"), requests, 1, 1_000_000);
        let (milli, day) = (Duration::from_millis(1), Duration::from_secs(86_400));
        for (name, value) in [
            ("RequestTimeout", self.request_timeout),
            ("RepeatTimeout", self.repeat_timeout),
            ("ConnectTimeout", self.connect_timeout),
            ("KeepaliveInterval", self.keepalive_interval),
            ("KeepaliveTimeout", self.keepalive_timeout),
        ] {
            problems.span(&at(name), value, milli, day);
        }
    }

    /// Checks that a user and a password, and a certificate and its key, come together.
    fn check_access(&self, key: &str, problems: &mut Problems) {
        let at = |name: &str| format!("{key}:{name}");
        let mut goes_with = |name: &str, is_there: bool, other: &str, other_is_there: bool| {
            if !is_there && other_is_there {
                let expected = format!("one, because `{}` is given", at(other));
                problems.required(&at(name), "", &expected);
            }
        };
        let (user, password) = (self.user.is_some(), !self.password.is_empty());
        let (cert, private) = (self.cert_file.is_some(), self.key_file.is_some());
        goes_with("Auth:Password", password, "Auth:User", user);
        goes_with("Auth:User", user, "Auth:Password", password);
        goes_with("Tls:KeyFile", private, "Tls:CertFile", cert);
        goes_with("Tls:CertFile", cert, "Tls:KeyFile", private);
        goes_with("Tls:CaFile", self.ca_file.is_some(), "Tls:CertFile", cert);
    }
}

/// `host` or `host:port`; an IPv6 address is in brackets.
fn is_contact_point(point: &str) -> bool {
    let (host, port) = match point.rsplit_once(':') {
        Some((host, port)) if !point.ends_with(']') => (host, Some(port)),
        _ => (point, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    is_port && is_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_client() {
        let settings = JournalSettings::default();
        let default = ServerSettings { contact_points: Vec::new(), ..ServerSettings::default() };
        assert_eq!(settings.server(), default);
    }

    #[test]
    fn contact_points_are_hosts_with_or_without_a_port() {
        for good in ["a", "a:9042", "10.0.0.1", "10.0.0.1:9042", "[::1]", "[::1]:9042", "db-1.x"] {
            assert!(is_contact_point(good), "{good}");
        }
        for bad in ["", ":9042", "a:", "a:0", "a:70000", "http://a", "a b", "::1", "[a]:1", "a,b"] {
            assert!(!is_contact_point(bad), "{bad}");
        }
    }
}
