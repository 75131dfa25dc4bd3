//! The configuration of a node: a TOML file, and environment variables that override it.
//!
//! `ANTIPHON_NODE__NAME=a` sets `name` in the table `node`: two underscores stand for a dot. A
//! value is read as TOML when possible, otherwise as text. Unknown keys and bad values are refused
//! with the key, the value and what was expected.
//!
//! - `file`: the file and the variables;
//! - `journal`: the location of a journal;
//! - `parse`: from text to settings; no error contains a value that may be a secret;
//! - `check`: all rules; the commands `check` and `node` apply the same rules.

use std::net::SocketAddr;
use std::time::Duration;

use antiphon::persistence::store::{Registry, Table};
use antiphon::prelude::*;
use antiphon::runtime::NodeSettings;
use antiphon::runtime::admin::HttpSettings;
use antiphon::runtime::transport::tcp::TcpSettings;
use antiphon::{EmbeddedSettings, Journal, PeerSettings, RepeatSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod check;
mod file;
mod journal;
mod parse;
mod within;

pub use check::filter;
pub use file::ConfigFile;
pub use journal::JournalConfig;
pub(crate) use journal::with_kind;
pub use parse::parse;
use within::{within, within_peer};

/// The configuration of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The journal of the place, shared by all its nodes: the path of a file, or a table with its
    /// `kind`.
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
    /// The limits of the HTTP interface.
    pub http: HttpSettings,
    /// Name, place, cluster, timeouts.
    pub node: NodeSettings,
    /// Links.
    pub links: TcpSettings,
    /// Shards and entities.
    pub sharding: ShardingSettings,
    /// A table for each kind of store, by its name: the settings of all journals of the kind.
    #[serde(flatten)]
    pub stores: Table,
    /// The kinds of stores that this program knows.
    #[serde(skip, default = "antiphon::stores")]
    kinds: Registry,
}

/// Every key of a configuration but the names of the kinds of stores.
const KEYS: [&str; 13] = [
    "journal",
    "bind",
    "advertised_host",
    "http_bind",
    "log",
    "log_repeats",
    "start_timeout",
    "rejoin_after",
    "peers",
    "http",
    "node",
    "links",
    "sharding",
];

/// Another place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// The name of the place.
    pub place: String,
    /// The journal of the place, which is only read.
    pub journal: JournalConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            journal: JournalConfig::of_text("antiphon.db"),
            bind: SocketAddr::from(([127, 0, 0, 1], 7400)),
            advertised_host: None,
            http_bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            log: "info".into(),
            log_repeats: RepeatSettings::default(),
            start_timeout: Duration::from_secs(60),
            rejoin_after: Duration::from_secs(10),
            peers: Vec::new(),
            http: HttpSettings::default(),
            node: NodeSettings::default(),
            links: TcpSettings::default(),
            sharding: ShardingSettings::default(),
            stores: Table::new(),
            kinds: antiphon::stores(),
        }
    }
}

impl Config {
    /// The default of every value, for the kinds of stores of this program.
    ///
    /// # Errors
    /// `Rejected` when the default of a kind of store is none.
    pub fn defaults() -> Result<Self> {
        Self::default().complete()
    }

    /// Finds the kinds of the journals, and gives every setting of a kind of store its value.
    fn complete(mut self) -> Result<Self> {
        // the documented file has the settings of all kinds; a program without a kind needs none
        self.stores.retain(|key, _| !self.kinds.is_left_out(key));
        if let Some(key) = self.stores.keys().find(|key| self.kinds.find(key).is_err()) {
            let keys = KEYS.iter().copied().chain(self.kinds.names());
            let keys: Vec<String> = keys.map(|key| format!("`{key}`")).collect();
            let key = antiphon::base::text::foreign(key);
            let expected = keys.join(", ");
            return Err(Error::rejected(format!(
                "unknown field `{key}`, expected one of {expected}"
            )));
        }
        for kind in self.kinds.kinds() {
            let given = self.stores.remove(kind.name()).unwrap_or_else(|| Table::new().into());
            let Value::Object(given) = given else {
                let message = format!("`{}`: expected a table", kind.name());
                return Err(Error::rejected(message));
            };
            let settings = kind.settings(&given);
            let settings = settings.map_err(|error| within(kind.name(), &error))?;
            self.stores.insert(kind.name().to_owned(), settings.into());
        }
        self.journal.resolve(&self.kinds)?;
        for peer in &mut self.peers {
            let resolved = peer.journal.resolve(&self.kinds);
            resolved.map_err(|error| within_peer(&peer.place, &error))?;
        }
        Ok(self)
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
    ///
    /// # Errors
    /// `Rejected` when its location or the settings of its kind are wrong.
    pub fn own_journal(&self) -> Result<Journal> {
        self.journal.journal(&self.node.place, &self.kinds, &self.stores)
    }

    /// The address under which other nodes reach a port of this node.
    pub fn advertised(&self, address: SocketAddr) -> String {
        match &self.advertised_host {
            Some(host) => antiphon::host_and_port(host, address.port()),
            None => address.to_string(),
        }
    }

    /// The settings of the HTTP interface, which clients may address by `advertised_host` too.
    pub fn http(&self) -> HttpSettings {
        let mut http = self.http.clone();
        http.hosts.extend(self.advertised_host.clone());
        http
    }

    /// The settings of an embedded node with this configuration.
    ///
    /// # Errors
    /// `Rejected` when the location of a journal or the settings of its kind are wrong.
    pub fn embedded(&self, http_address: String) -> Result<EmbeddedSettings> {
        let peer = |peer: &PeerConfig| {
            let journal = peer.journal.journal(&peer.place, &self.kinds, &self.stores);
            let journal = journal.map_err(|error| within_peer(&peer.place, &error))?;
            Ok(PeerSettings { place: peer.place.clone(), journal })
        };
        Ok(EmbeddedSettings {
            node: self.node.clone(),
            journal: self.own_journal()?,
            peers: self.peers.iter().map(peer).collect::<Result<_>>()?,
            bind: self.bind,
            advertised_host: self.advertised_host.clone(),
            http_address: Some(http_address),
            tcp: self.links.clone(),
            start_timeout: self.start_timeout,
        })
    }
}

#[cfg(test)]
mod tests;
