//! The configuration of a node: a TOML file, and environment variables that override it.
//!
//! `ANTIPHON_NODE__NAME=a` sets `name` in the table `node`: two underscores stand for a dot, one
//! underscore for itself or for `-`, and the case of letters does not count. A
//! value is read as TOML when possible, otherwise as text. Unknown keys and bad values are refused
//! with the key, the value and what was expected.
//!
//! - `file`: the file and the variables;
//! - `journal`: the location of a journal;
//! - `sharding`: the settings of entity types; `replicas`: their replicas;
//! - `section`: tables of the application; `overlay`: a table over its defaults; `known`: the names
//!   that a program knows;
//! - `variables`: the keys that the name of a variable means;
//! - `parse`: from text to settings; no error contains a value that may be a secret;
//! - `check`: all rules; the commands `check` and `node` apply the same rules.

use std::any::TypeId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::persistence::store::Table;
use crate::prelude::*;
use crate::runtime::NodeSettings;
use crate::runtime::admin::HttpSettings;
use crate::runtime::transport::tcp::TcpSettings;
use crate::{EmbeddedSettings, Journal, PeerSettings, RepeatSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod check;
mod file;
mod journal;
mod known;
mod overlay;
mod parse;
mod replicas;
mod section;
mod sharding;
mod variables;
mod within;

pub use check::filter;
pub use file::ConfigFile;
pub use journal::JournalConfig;
pub(crate) use journal::with_kind;
pub use known::Known;
pub use parse::parse;
pub use replicas::ReplicaConfig;
pub use section::Section;
use section::Settings;
pub(crate) use section::{SectionKind, Sections};
pub use sharding::ShardingConfig;
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
    #[serde(with = "crate::base::time::text")]
    pub start_timeout: Duration,
    /// Least time, without the pause, after which a node that its place found dead begins again in
    /// the same process as a new incarnation, for example after a virtual machine was paused. A
    /// node that is out sooner ends with exit code 1, and so does a node that has lost its journal;
    /// with `"0s"`, every node that is out does.
    #[serde(with = "crate::base::time::text")]
    pub rejoin_after: Duration,
    /// The other places.
    pub peers: Vec<PeerConfig>,
    /// The replicas of entity types whose provider names none; empty for one at each place.
    pub replicas: Vec<ReplicaConfig>,
    /// The limits of the HTTP interface.
    pub http: HttpSettings,
    /// Name, place, cluster, timeouts.
    pub node: NodeSettings,
    /// Links.
    pub links: TcpSettings,
    /// Shards and entities.
    pub sharding: ShardingConfig,
    /// Plain actors that see those of other nodes.
    #[cfg(feature = "actors")]
    pub actors: crate::cluster::ActorSettings,
    /// A table for each kind of store, by its name: the settings of all journals of the kind; and
    /// the tables of the application.
    #[serde(flatten)]
    pub tables: Table,
    /// The names that this program knows.
    #[serde(skip)]
    known: Known,
    /// The settings of the application. Their tables in `tables` are shown only: they lack the
    /// secrets.
    #[serde(skip)]
    settings: Settings,
}

/// Every key of a configuration but the names of the kinds of stores.
pub(super) const KEYS: [&str; 15] = [
    ACTORS,
    "journal",
    "bind",
    "advertised_host",
    "http_bind",
    "log",
    "log_repeats",
    "start_timeout",
    "rejoin_after",
    "peers",
    "replicas",
    "http",
    "node",
    "links",
    "sharding",
];

/// The table of plain actors. A program without them ignores it, as it does the tables of the
/// stores that it lacks.
const ACTORS: &str = "actors";

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
            replicas: Vec::new(),
            http: HttpSettings::default(),
            node: NodeSettings::default(),
            links: TcpSettings::default(),
            sharding: ShardingConfig::default(),
            #[cfg(feature = "actors")]
            actors: crate::cluster::ActorSettings::default(),
            tables: Table::new(),
            known: Known::default(),
            settings: Settings::default(),
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
        let Known { stores, sections, types } = &self.known;
        // the documented file has the settings of all kinds; a program without a kind needs none
        self.tables.retain(|key, _| key != ACTORS && !stores.is_left_out(key));
        let is_section = |key: &str| sections.iter().any(|section| section.name == key);
        let is_unknown = |key: &&String| stores.find(key).is_err() && !is_section(key);
        if let Some(key) = self.tables.keys().find(is_unknown) {
            let names = stores.names().map(str::to_owned);
            let names = names.chain(sections.iter().map(|section| section.name.clone()));
            let keys = KEYS.iter().map(|key| (*key).to_owned()).chain(names);
            let keys: Vec<String> = keys.map(|key| format!("`{key}`")).collect();
            let key = crate::base::text::foreign(key);
            let expected = keys.join(", ");
            return Err(Error::rejected(format!(
                "unknown field `{key}`, expected one of {expected}"
            )));
        }
        for kind in stores.kinds() {
            let given = self.tables.remove(kind.name()).unwrap_or_else(|| Table::new().into());
            let Value::Object(given) = given else {
                let message = format!("`{}`: expected a table", kind.name());
                return Err(Error::rejected(message));
            };
            let settings = kind.settings(&given);
            let settings = settings.map_err(|error| within(kind.name(), &error))?;
            self.tables.insert(kind.name().to_owned(), settings.into());
        }
        for section in sections {
            if self.settings.has(section) {
                continue;
            }
            let given = self.tables.remove(&section.name).unwrap_or_else(|| Table::new().into());
            let read = section.read(&given).map_err(|error| within(&section.name, &error))?;
            self.tables.insert(section.name.clone(), read.0);
            self.settings.insert(section, read.1);
        }
        self.sharding.complete(types.as_deref())?;
        self.journal.resolve(stores)?;
        for peer in &mut self.peers {
            let resolved = peer.journal.resolve(stores);
            resolved.map_err(|error| within_peer(&peer.place, &error))?;
        }
        Ok(self)
    }
}

impl Config {
    /// The settings of the application, by their types.
    ///
    /// # Errors
    /// `Rejected`, naming the table, the key, its value and what was expected.
    pub(crate) fn sections(&self) -> Result<Sections> {
        let is_read = self.known.sections.iter().all(|section| self.settings.has(section));
        let settings =
            if is_read { self.settings.clone() } else { self.clone().complete()?.settings };
        Ok(settings.by_type())
    }

    /// The settings of a table of the application.
    ///
    /// # Errors
    /// `Bug` when the application has declared no section of this type; `Rejected`, naming the
    /// table, the key, its value and what was expected.
    pub fn section<S: Section>(&self) -> Result<Arc<S>> {
        let found = self.sections()?.remove(&TypeId::of::<S>());
        found.and_then(|found| found.downcast().ok()).ok_or_else(|| {
            let name = std::any::type_name::<S>();
            Error::bug(format!("no section of `{name}`: declare it with `App::section`"))
        })
    }

    /// The journal of the own place.
    ///
    /// # Errors
    /// `Rejected` when its location or the settings of its kind are wrong.
    pub fn own_journal(&self) -> Result<Journal> {
        self.journal.journal(&self.node.place, &self.known.stores, &self.tables)
    }

    /// The address under which other nodes reach a port of this node.
    pub fn advertised(&self, address: SocketAddr) -> String {
        match &self.advertised_host {
            Some(host) => crate::host_and_port(host, address.port()),
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
            let journal = peer.journal.journal(&peer.place, &self.known.stores, &self.tables);
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
