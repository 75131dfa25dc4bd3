//! The settings of an embedded node, with a default for each.

use std::net::SocketAddr;
use std::time::Duration;

use antiphon_runtime::transport::tcp::TcpSettings;
use antiphon_runtime::{NodeSettings, Result};

use crate::{Embedded, EmbeddedSettings, Journal, PeerSettings};

/// The default of `start_timeout`.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A node that is about to be embedded: its name, place and journal, and a default for everything
/// else. [`Embedded::builder`] makes one.
///
/// ```
/// use antiphon::prelude::*;
/// use antiphon::sqlite::SqliteSettings;
/// use antiphon::{Embedded, Journal};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let [a, b] = ["a.db", "b.db"].map(|file| folder.path().join(file));
/// let journal = |file| Journal::sqlite(file, SqliteSettings::default());
/// let embedded = Embedded::builder("a-1", "DC-A", journal(a))
///     .peer("DC-B", journal(b))
///     .with_node(|node| node.shard_count = 64)
///     .start()
///     .await?;
/// // `ReplicatedSharding::init(&embedded.node, provider)` starts an entity type
/// embedded.node.leave().await?;
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
#[must_use = "a node does nothing until it is started"]
pub struct EmbeddedBuilder {
    settings: EmbeddedSettings,
}

impl Embedded {
    /// A node of this name, unique in its place, with the journal that all nodes of the place use.
    ///
    /// The defaults: no other places; links on `127.0.0.1`, any free port, without certificates; no
    /// HTTP interface; a `start_timeout` of 60 s; and those of [`NodeSettings`] (the cluster
    /// `antiphon`, for example) and [`TcpSettings`].
    pub fn builder(
        name: impl Into<String>,
        place: impl Into<String>,
        journal: Journal,
    ) -> EmbeddedBuilder {
        let (name, place) = (name.into(), place.into());
        let settings = EmbeddedSettings {
            node: NodeSettings { name, place, ..NodeSettings::default() },
            journal,
            peers: Vec::new(),
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertised_host: None,
            http_address: None,
            tcp: TcpSettings::default(),
            start_timeout: START_TIMEOUT,
        };
        EmbeddedBuilder { settings }
    }
}

impl EmbeddedBuilder {
    /// Adds another place with its journal, which is only read. Default: no other place.
    pub fn peer(mut self, place: impl Into<String>, journal: Journal) -> Self {
        self.settings.peers.push(PeerSettings { place: place.into(), journal });
        self
    }

    /// Sets the address on which other nodes connect; port 0 takes any free port, which the other
    /// nodes find in the journal. Default: `127.0.0.1:0`, for nodes on this machine. An address
    /// that others can reach needs certificates ([`Self::with_links`]).
    pub fn bind(mut self, address: SocketAddr) -> Self {
        self.settings.bind = address;
        self
    }

    /// Sets the host under which other nodes reach this node. Default: the host of `bind`.
    pub fn advertised_host(mut self, host: impl Into<String>) -> Self {
        self.settings.advertised_host = Some(host.into());
        self
    }

    /// Sets the address of the application's HTTP interface, which the node publishes to the others
    /// and does not serve. Default: none.
    pub fn http_address(mut self, address: impl Into<String>) -> Self {
        self.settings.http_address = Some(address.into());
        self
    }

    /// Sets the longest time that the start waits for the journal of the place. Default: 60 s.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.settings.start_timeout = limit;
        self
    }

    /// Changes the settings of the node: its cluster, its timeouts and bounds.
    pub fn with_node(mut self, change: impl FnOnce(&mut NodeSettings)) -> Self {
        change(&mut self.settings.node);
        self
    }

    /// Changes the settings of the links: certificates, the cookie, bounds. The names of cluster
    /// and place are those of the node.
    pub fn with_links(mut self, change: impl FnOnce(&mut TcpSettings)) -> Self {
        change(&mut self.settings.tcp);
        self
    }

    /// The settings, for [`EmbeddedSettings::validate`] and [`Embedded::start_telling`].
    #[must_use]
    pub fn settings(self) -> EmbeddedSettings {
        self.settings
    }

    /// Starts the node, as [`Embedded::start`] does, also when it is cancelled.
    ///
    /// # Errors
    /// As for [`Embedded::start`].
    pub async fn start(self) -> Result<Embedded> {
        Embedded::start(self.settings).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::SqliteSettings;

    #[test]
    fn every_setting_reaches_the_node_and_the_defaults_are_those_of_the_parts() {
        let journal = |file: &str| Journal::sqlite(file, SqliteSettings::default());
        let plain = Embedded::builder("a-1", "A", journal("a.db")).settings();
        let expected = NodeSettings { name: "a-1".into(), place: "A".into(), ..Default::default() };
        assert_eq!(plain.node, expected);
        assert_eq!(plain.tcp, TcpSettings::default());
        assert_eq!(plain.bind.to_string(), "127.0.0.1:0");
        assert!(plain.peers.is_empty() && plain.http_address.is_none());
        let bind = SocketAddr::from(([10, 0, 0, 1], 7400));
        let changed = Embedded::builder("a-1", "A", journal("a.db"))
            .peer("B", journal("b.db"))
            .bind(bind)
            .advertised_host("a-1.example")
            .http_address("a-1.example:8080")
            .start_timeout(Duration::from_secs(7))
            .with_node(|node| node.cluster_name = "shop".into())
            .with_links(|links| links.cookie = "swordfish".into())
            .settings();
        assert_eq!((changed.bind, changed.start_timeout), (bind, Duration::from_secs(7)));
        assert_eq!(changed.peers[0].place, "B");
        assert_eq!(changed.advertised_host.as_deref(), Some("a-1.example"));
        assert_eq!(changed.http_address.as_deref(), Some("a-1.example:8080"));
        assert_eq!(changed.node.cluster_name, "shop");
        assert_eq!(changed.tcp.cookie.expose(), "swordfish");
    }
}
