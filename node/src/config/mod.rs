//! The configuration of a node: a TOML file, and environment variables that override it.
//!
//! `ANTIPHON_NODE__NAME=a` sets `name` in the table `node`: two underscores stand for a dot. A
//! value is read as TOML when possible, otherwise as text. Unknown keys and bad values are refused
//! with the key, the value and what was expected.
//!
//! - `parse`: from text to settings; no error contains a value that may be a secret;
//! - `check`: all rules; the commands `check` and `node` apply the same rules.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use antiphon::cassandra::CassandraSettings;
use antiphon::cassandra::cql::ServerSettings;
use antiphon::prelude::*;
use antiphon::runtime::NodeSettings;
use antiphon::runtime::transport::tcp::TcpSettings;
use antiphon::sqlite::SqliteSettings;
use antiphon::{EmbeddedSettings, Journal, PeerSettings, RepeatSettings};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

mod check;
mod parse;

pub use check::filter;
pub use parse::parse;

/// The configuration of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The journal of the place, shared by all its nodes: the path of an SQLite file, or a table
    /// with its `kind`.
    pub journal: JournalConfig,
    /// The address on which other nodes connect; port 0 takes any free port.
    pub bind: SocketAddr,
    /// The host under which other nodes reach this node, when it differs from the host of `bind`.
    pub advertised_host: Option<String>,
    /// The address on which the HTTP interface listens; port 0 takes any free port.
    pub http_bind: SocketAddr,
    /// The log level: one level, or levels by target, as in `RUST_LOG`.
    pub log: String,
    /// The limit of repeated log lines for each line of code.
    pub log_repeats: RepeatSettings,
    /// Longest time that the start waits for the journal of the place while the journal is slow or
    /// cannot be reached over the network; then the start fails.
    #[serde(with = "antiphon::base::time::text")]
    pub start_timeout: Duration,
    /// Least time, without the pause, after which a node that its place found dead begins again in
    /// the same process as a new incarnation, for example after a virtual machine was paused. A
    /// node that is out sooner ends with exit code 1, and so does a node that has lost its journal;
    /// with `"0s"`, every node that is out does.
    #[serde(with = "antiphon::base::time::text")]
    pub rejoin_after: Duration,
    /// The other places.
    pub peers: Vec<PeerConfig>,
    /// Name, place, cluster, timeouts.
    pub node: NodeSettings,
    /// Links.
    pub links: TcpSettings,
    /// The settings of an SQLite journal.
    pub sqlite: SqliteSettings,
    /// The settings of a Cassandra journal.
    pub cassandra: CassandraSettings,
    /// Shards and entities.
    pub sharding: ShardingSettings,
}

/// Another place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// The name of the place.
    pub place: String,
    /// The journal of the place, which is only read.
    pub journal: JournalConfig,
}

/// The location of a journal.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalConfig {
    /// An SQLite file: its path as a text, or `{ kind = "sqlite", path = ".." }`.
    Sqlite(PathBuf),
    /// `{ kind = "cassandra", contact_points = [..], keyspace = "..", .. }`.
    Cassandra(Box<ServerSettings>),
}

impl JournalConfig {
    fn journal(&self, place: &str, config: &Config) -> Journal {
        match self {
            Self::Sqlite(path) => Journal::sqlite(path, config.sqlite.clone()),
            Self::Cassandra(server) => {
                let mut settings =
                    CassandraSettings { server: (**server).clone(), ..config.cassandra.clone() };
                if settings.server.place.is_empty() {
                    place.clone_into(&mut settings.server.place);
                }
                Journal::cassandra(settings)
            }
        }
    }

    fn validate(&self) -> Result<()> {
        match self {
            Self::Sqlite(path) => antiphon::sqlite::check_name(path),
            Self::Cassandra(server) => server
                .validate()
                .map_err(|error| Error::rejected(format!("in the journal: {error}"))),
        }
    }
}

impl Serialize for JournalConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Sqlite(path) => path.serialize(serializer),
            Self::Cassandra(server) => {
                let mut table = Table::try_from(server).map_err(serde::ser::Error::custom)?;
                table.insert("kind".into(), "cassandra".into());
                // the password is a secret
                if let Some(Value::Table(auth)) = table.get_mut("auth") {
                    auth.insert("password".into(), "***".into());
                }
                table.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for JournalConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Some(path) = value.as_str() {
            if path.trim_start().starts_with('{') {
                // its text may have a password, and must not become the name of a file
                return Err(D::Error::custom(
                    "`journal`: expected the path of an SQLite file, or a table in TOML, actual a text that begins with `{`",
                ));
            }
            return Ok(Self::Sqlite(path.into()));
        }
        let Value::Table(mut table) = value else {
            return Err(D::Error::custom(format!(
                "`journal`: expected the path of an SQLite file, or a table with its `kind`, actual {}",
                value.type_str()
            )));
        };
        let kind = table.remove("kind");
        match kind.as_ref().and_then(Value::as_str) {
            Some("sqlite") => match (table.remove("path"), table.keys().next()) {
                (Some(Value::String(path)), None) => Ok(Self::Sqlite(path.into())),
                (_, Some(key)) => Err(D::Error::unknown_field(key, &["kind", "path"])),
                _ => Err(D::Error::custom("`path`: expected the path of an SQLite file")),
            },
            Some("cassandra") => {
                table.try_into().map(Box::new).map(Self::Cassandra).map_err(D::Error::custom)
            }
            _ => Err(D::Error::custom(format!(
                "`kind`: expected \"sqlite\" or \"cassandra\", actual {}",
                kind.map_or("none".to_owned(), |kind| {
                    if kind.is_str() { kind.to_string() } else { kind.type_str().to_owned() }
                })
            ))),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            journal: JournalConfig::Sqlite("antiphon.db".into()),
            bind: SocketAddr::from(([127, 0, 0, 1], 7400)),
            advertised_host: None,
            http_bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            log: "info".into(),
            log_repeats: RepeatSettings::default(),
            start_timeout: Duration::from_secs(60),
            rejoin_after: Duration::from_secs(10),
            peers: Vec::new(),
            node: NodeSettings::default(),
            links: TcpSettings::default(),
            sqlite: SqliteSettings::default(),
            cassandra: CassandraSettings::default(),
            sharding: ShardingSettings::default(),
        }
    }
}

impl Config {
    /// The replicas: the own place and its peers, sorted.
    ///
    /// # Errors
    /// `Rejected` when the name of a place is not a valid replica id.
    pub fn replicas(&self) -> Result<Vec<ReplicaId>> {
        let places = self.peers.iter().map(|peer| &peer.place).chain([&self.node.place]);
        let mut replicas = places.map(ReplicaId::new).collect::<Result<Vec<_>>>()?;
        replicas.sort();
        Ok(replicas)
    }

    /// The journal of the own place.
    pub fn own_journal(&self) -> Journal {
        self.journal.journal(&self.node.place, self)
    }

    /// The address under which other nodes reach a port of this node.
    pub fn advertised(&self, address: SocketAddr) -> String {
        match &self.advertised_host {
            Some(host) => antiphon::host_and_port(host, address.port()),
            None => address.to_string(),
        }
    }

    /// The settings of an embedded node with this configuration.
    pub fn embedded(&self, http_address: String) -> EmbeddedSettings {
        let peer = |peer: &PeerConfig| PeerSettings {
            place: peer.place.clone(),
            journal: peer.journal.journal(&peer.place, self),
        };
        EmbeddedSettings {
            node: self.node.clone(),
            journal: self.own_journal(),
            peers: self.peers.iter().map(peer).collect(),
            bind: self.bind,
            advertised_host: self.advertised_host.clone(),
            http_address: Some(http_address),
            tcp: self.links.clone(),
            start_timeout: self.start_timeout,
        }
    }
}

/// Reads a file and the environment, and makes all checks that need no other file.
///
/// # Errors
/// `Rejected`, naming the file, the key, the value and what was expected. Values that may be
/// secrets are not shown.
pub fn load(path: &Path) -> Result<Config> {
    let refused = |why: String| Error::rejected(format!("configuration {}: {why}", path.display()));
    let cannot = |error: std::io::Error| refused(format!("cannot be read: {error}"));
    // a pipe without a writer would be waited for without end
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(refused("expected a file, actual a folder, a device or a pipe".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(cannot)?;
    let variables = parse::texts(std::env::vars_os());
    variables.and_then(|texts| parse(&text, texts)).map_err(|error| of_file(path, &error))
}

/// Reads as [`load`], and checks the addresses, files and folders that the configuration names. A
/// node starts only with a configuration that passes, and `antiphon check` reports exactly these
/// errors. Only the start of a node finds out that a port is in use, and the state of a server.
/// Nothing is created or changed.
///
/// # Errors
/// As [`load`]; `Unavailable` or `Corrupt` when a file cannot be inspected.
pub fn load_checked(path: &Path) -> Result<Config> {
    let config = load(path)?;
    config.check_files().map_err(|error| of_file(path, &error))?;
    Ok(config)
}

fn of_file(path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("configuration {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
