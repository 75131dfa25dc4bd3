//! The configuration of a node: a TOML file, and environment variables that go before it.
//!
//! `ANTIPHON_NODE__NAME=a` sets `name` in the table `node`: two underscores are a dot. A value is read as TOML where that is possible,
//! else as text. Unknown keys and bad values are refused with the key, the value and what was expected.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use antiphon::cassandra::CassandraSettings;
use antiphon::cassandra::cql::ServerSettings;
use antiphon::prelude::*;
use antiphon::runtime::NodeSettings;
use antiphon::runtime::transport::tcp::TcpSettings;
use antiphon::sqlite::SqliteSettings;
use antiphon::{EmbeddedSettings, Journal, PeerSettings};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

const PREFIX: &str = "ANTIPHON_";

/// The configuration of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The journal of the place, which all its nodes share: the path of an SQLite file, or a table with its `kind`.
    pub journal: JournalConfig,
    /// Where other nodes connect; port 0 takes any.
    pub bind: SocketAddr,
    /// The host that other nodes use, if it is another one than that of `bind`.
    pub advertised_host: Option<String>,
    /// Where the HTTP interface listens; port 0 takes any.
    pub http_bind: SocketAddr,
    /// What is logged: a filter as in `RUST_LOG`.
    pub log: String,
    /// How long the start may wait for the journal of the place, when that is out of reach over the network or slow; then it fails.
    #[serde(with = "antiphon::persistence::time::text")]
    pub start_timeout: Duration,
    /// The other places.
    pub peers: Vec<PeerConfig>,
    /// Name, place, cluster, timeouts.
    pub node: NodeSettings,
    /// Links.
    pub links: TcpSettings,
    /// How an SQLite journal is used.
    pub sqlite: SqliteSettings,
    /// How a Cassandra journal is used.
    pub cassandra: CassandraSettings,
    /// Shards and entities.
    pub sharding: ShardingSettings,
}

/// Another place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its name.
    pub place: String,
    /// Its journal, which is only read.
    pub journal: JournalConfig,
}

/// Where a journal is.
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
            Self::Sqlite(path) => {
                Journal::Sqlite { path: path.clone(), settings: config.sqlite.clone() }
            }
            Self::Cassandra(server) => {
                let mut settings =
                    CassandraSettings { server: (**server).clone(), ..config.cassandra.clone() };
                if settings.server.place.is_empty() {
                    place.clone_into(&mut settings.server.place);
                }
                Journal::Cassandra(Box::new(settings))
            }
        }
    }

    fn validate(&self) -> Result<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
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
                // the password is not for eyes
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
            return Ok(Self::Sqlite(path.into()));
        }
        let Value::Table(mut table) = value else {
            return Err(D::Error::custom(format!(
                "`journal`: expected the path of an SQLite file, or a table with its `kind`, actual {value}"
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
                kind.map_or("none".to_owned(), |kind| kind.to_string())
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
            start_timeout: Duration::from_secs(60),
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
    /// `Rejected` when a place is no replica id.
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

    /// How others reach a port of this node.
    pub fn advertised(&self, address: SocketAddr) -> String {
        match &self.advertised_host {
            Some(host) => format!("{host}:{}", address.port()),
            None => address.to_string(),
        }
    }

    /// What an embedded node needs of it.
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

/// Reads a file and the environment.
///
/// # Errors
/// `Rejected`, naming the file, the key, the value and what was expected.
pub fn load(path: &Path) -> Result<Config> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::rejected(format!("configuration {}: cannot be read: {error}", path.display()))
    })?;
    parse(&text, std::env::vars())
        .map_err(|error| Error::rejected(format!("configuration {}: {error}", path.display())))
}

/// Reads a text and the variables of an environment.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config> {
    let mut variables: Vec<(String, String)> =
        variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    let bad = |error: toml::de::Error| Error::rejected(error.to_string().trim_end().to_owned());
    // without variables the text itself is read, so that an error shows its line
    let config: Config = if variables.is_empty() {
        toml::from_str(text).map_err(bad)?
    } else {
        let _: Config = toml::from_str(text).map_err(bad)?;
        let mut table: Table = text.parse().map_err(bad)?;
        for (name, value) in &variables {
            let mut next = table.clone();
            set(&mut next, name, value)?;
            let checked: std::result::Result<Config, _> = next.clone().try_into();
            checked.map_err(|error| {
                Error::rejected(format!("environment variable `{name}={value}`: {error}"))
            })?;
            table = next;
        }
        table.try_into().map_err(bad)?
    };
    config.node.validate()?;
    config.links.validate()?;
    config.sqlite.validate()?;
    config.cassandra.validate()?;
    config.journal.validate()?;
    for peer in &config.peers {
        peer.journal.validate()?;
    }
    config.sharding.validate()?;
    config.replicas()?;
    Ok(config)
}

fn set(table: &mut Table, name: &str, value: &str) -> Result<()> {
    let keys: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    let (last, path) = keys.split_last().expect("a split gives one part at least");
    let mut at = table;
    for key in path {
        let next = at.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else {
            return Err(Error::rejected(format!(
                "environment variable `{name}`: expected a table at `{key}`, which has no keys"
            )));
        };
        at = next;
    }
    let parsed = format!("x = {value}").parse::<Table>().ok();
    let parsed = parsed.and_then(|mut table| table.remove("x"));
    at.insert(last.clone(), parsed.unwrap_or_else(|| Value::String(value.to_owned())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_documented_file_is_the_default_and_names_every_key() {
        let text = include_str!("../../deploy/node.toml");
        let config = parse(text, []).unwrap();
        assert_eq!(config, Config::default());

        let all = Table::try_from(Config::default()).unwrap();
        let mut missing = Vec::new();
        keys(&all, text, &mut missing);
        assert!(missing.is_empty(), "deploy/node.toml does not document {missing:?}");
    }

    fn keys(table: &Table, text: &str, missing: &mut Vec<String>) {
        for (key, value) in table {
            if let Value::Table(table) = value {
                keys(table, text, missing);
            } else if !text.contains(&format!("{key} = ")) {
                missing.push(key.clone());
            }
        }
    }

    #[test]
    fn unknown_keys_and_bad_values_are_named_with_what_was_expected() {
        for (text, expected) in [
            ("jurnal = 'x'", vec!["jurnal", "expected one of", "journal"]),
            ("[node]\nname = 5", vec!["name = 5", "expected a string"]),
            ("[node]\nrenew_timeout = '5'", vec!["renew_timeout", "\"3s\"", "actual \"5\""]),
            ("[sharding]\nask_timeout = '0s'", vec!["`ask_timeout`", "at least 1ms"]),
            ("[node]\nname = 'a@b'", vec!["a@b", "expected no `@`"]),
            ("bind = 'localhost'", vec!["bind", "socket address"]),
            ("[[peers]]\nplace = 'x|y'\njournal = 'z'", vec!["x|y"]),
            ("node = ", vec!["node = "]),
            ("journal = 5", vec!["journal", "expected the path", "actual 5"]),
            ("journal = { kind = 'oracle' }", vec!["kind", "cassandra", "oracle"]),
            ("journal = { path = 'x' }", vec!["kind", "cassandra", "actual none"]),
            ("journal = { kind = 'cassandra', keyspaces = 'x' }", vec!["keyspaces", "`keyspace`"]),
            ("journal = { kind = 'cassandra', keyspace = 'a-b' }", vec!["keyspace", "a-b"]),
            (
                "journal = { kind = 'cassandra', consistency = 'two' }",
                vec!["consistency", "two", "local_quorum"],
            ),
            ("journal = { kind = 'cassandra', contact_points = [] }", vec!["contact_points"]),
            ("[cassandra]\nlanes = 0", vec!["lanes", "at least 1"]),
        ] {
            let message = parse(text, []).unwrap_err().to_string();
            for part in expected {
                assert!(message.contains(part), "{text:?}: {part:?} is not in {message:?}");
            }
        }
    }

    #[test]
    fn environment_variables_go_before_the_file() {
        let set = [
            ("ANTIPHON_NODE__NAME", "b"),
            ("ANTIPHON_NODE__SHARD_COUNT", "8"),
            ("ANTIPHON_NODE__RENEW_TIMEOUT", "9s"),
            ("ANTIPHON_HTTP_BIND", "127.0.0.1:0"),
            ("OTHER", "x"),
        ];
        let config = parse("[node]\nname = 'a'\nplace = 'p'", variables(&set)).unwrap();
        assert_eq!((config.node.name.as_str(), config.node.place.as_str()), ("b", "p"));
        assert_eq!(config.node.shard_count, 8);
        assert_eq!(config.node.renew_timeout, Duration::from_secs(9));
        assert_eq!(config.http_bind.port(), 0);
    }

    #[test]
    fn others_reach_a_node_by_its_advertised_host() {
        let everywhere = "0.0.0.0:8080".parse().unwrap();
        let config = parse("advertised_host = 'node-1.example'", []).unwrap();
        assert_eq!(config.advertised(everywhere), "node-1.example:8080");
        assert_eq!(Config::default().advertised(everywhere), "0.0.0.0:8080");
    }

    #[test]
    fn a_bad_environment_variable_is_named() {
        for (name, value) in [("ANTIPHON_NODE__NAMES", "x"), ("ANTIPHON_NODE__SHARD_COUNT", "many")]
        {
            let message = parse("", variables(&[(name, value)])).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(value), "{message}");
        }
    }
}
