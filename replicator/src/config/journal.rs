//! The sections `Settings:Journal` and `Settings:Subscriptions:*:Journal`: the location of an
//! Antiphon journal, an SQLite file or a Cassandra.
//!
//! The keys are the keys of a node's table `journal`, in the spelling of the replicator's keys.

use std::time::Duration;

use antiphon_cassandra::cql::{Auth, ServerSettings, Tls};
use antiphon_persistence::identity::ReplicaId;

use super::choice::{Choice, choice};
use super::kinds::{DAY, MILLISECOND, number, optional, span, text, word};
use super::problems::Problems;
use super::reader::Reader;
use super::secret::Secret;
use super::table::{Field, Key, Section, Texts, below, settings};
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

settings! {
    /// The location of a journal. All fields but `kind` apply to Cassandra only.
    JournalSettings {
        /// The kind of store that holds the journal: the file of `JournalPath`, or Apache Cassandra
        /// or ScyllaDB. The next keys are for `cassandra`, and are those of a node's table
        /// `journal`.
        kind: JournalKind = JournalKind::Sqlite, "Kind", word();
        /// Some nodes of the cluster. Required.
        contact_points: Vec<String> = Vec::new(), "ContactPoints", Texts("`host` or `host:port`");
        /// The keyspace; `antiphon schema apply` makes its tables.
        keyspace: String = server().keyspace, "Keyspace", text("a name");
        /// The place whose journal it is: `node.place` of the nodes that use it. Required.
        place: String = String::new(), "Place", text("a name");
        /// The data centre whose nodes are used; without it, nodes of any data centre.
        local_dc: Option<String> = None, "LocalDc", optional(text("a data centre"));
        /// The user; none without a log-in.
        user: Option<String> = None, "Auth:User", optional(text("a name"));
        /// The user's password. Never shown.
        password: Secret = Secret::default(), "Auth:Password", text("a text");
        /// PEM file with the authorities that may have signed the servers' certificates; none
        /// without encryption.
        ca_file: Option<String> = None, "Tls:CaFile", optional(text("a path"));
        /// PEM file with the client's own certificate, for servers that ask for one.
        cert_file: Option<String> = None, "Tls:CertFile", optional(text("a path"));
        /// PEM file with the private key of the client's own certificate.
        key_file: Option<String> = None, "Tls:KeyFile", optional(text("a path"));
        /// Copies that must answer a write or read.
        consistency: Consistency = Consistency::LocalQuorum, "Consistency", word();
        /// The copies among which conditional writes are decided.
        serial_consistency: SerialConsistency = SerialConsistency::LocalSerial,
            "SerialConsistency", word();
        /// Statements under way at the same time; further ones wait.
        requests_max: usize = server().requests_max, "RequestsMax", number(1, 1_000_000);
        /// Longest time of a statement; then its outcome is unknown. Longer than the server's own
        /// limits.
        request_timeout: Duration = server().request_timeout, "RequestTimeout",
            span(MILLISECOND, DAY);
        /// Retry budget of a statement that may be repeated, such as a read.
        repeat_timeout: Duration = server().repeat_timeout, "RepeatTimeout",
            span(MILLISECOND, DAY);
        /// Longest time to open a connection.
        connect_timeout: Duration = server().connect_timeout, "ConnectTimeout",
            span(MILLISECOND, DAY);
        /// Interval at which an idle connection is probed.
        keepalive_interval: Duration = server().keepalive_interval, "KeepaliveInterval",
            span(MILLISECOND, DAY);
        /// Longest wait for the answer to such a probe.
        keepalive_timeout: Duration = server().keepalive_timeout, "KeepaliveTimeout",
            span(MILLISECOND, DAY);
    }
}

fn server() -> ServerSettings {
    ServerSettings::default()
}

/// The keys of a journal. They are read when one of them is given, and checked by
/// [`JournalSettings::check`] where the journal is used.
pub(super) struct JournalKeys;

impl Field<JournalSettings> for JournalKeys {
    fn read(&self, reader: &Reader<'_>, key: &str, value: &mut JournalSettings) {
        Field::read(&word(), reader, &below(key, "Kind"), &mut value.kind);
        let others = reader.children(key).iter().any(|name| !name.eq_ignore_ascii_case("Kind"));
        if others || value.kind == JournalKind::Cassandra {
            value.read(reader, key);
        }
    }

    fn bounds(&self, _key: &str, _value: &JournalSettings, _problems: &mut Problems) {}

    fn list(&self, key: &str, _about: &str, _default: &JournalSettings, keys: &mut Vec<Key>) {
        JournalSettings::list(key, keys);
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
        self.bounds(key, problems);
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
