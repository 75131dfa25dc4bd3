//! A node on a journal and TCP, as the `antiphon` binary runs it, for applications that embed one.

use std::net::SocketAddr;
use std::sync::Arc;

use antiphon_persistence::time::{Clock, SystemClock};
use antiphon_runtime::transport::tcp::{TcpSettings, TcpTransport};
use antiphon_runtime::{Error, Metrics, Node, NodeId, NodeParts, NodeSettings, PeerPlace, Result};

use crate::{Journal, OpenJournal};

/// Another place: the journal of its nodes, which is only read.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerSettings {
    /// Its name.
    pub place: String,
    /// Its journal.
    pub journal: Journal,
}

/// What an embedded node needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedSettings {
    /// Name, place, cluster, timeouts.
    pub node: NodeSettings,
    /// The journal of the place; all nodes of the place use the same one.
    pub journal: Journal,
    /// The other places.
    pub peers: Vec<PeerSettings>,
    /// Where other nodes connect; port 0 takes any.
    pub bind: SocketAddr,
    /// The host that other nodes use, if it is another one than that of `bind`.
    pub advertised_host: Option<String>,
    /// Where the HTTP interface listens, if there is one; it is only told to others.
    pub http_address: Option<String>,
    /// Links.
    pub tcp: TcpSettings,
}

/// A node with the journal that it opened.
pub struct Embedded {
    /// The node.
    pub node: Node,
    /// The journal of its place.
    pub journal: OpenJournal,
    /// Where other nodes connect.
    pub address: SocketAddr,
}

impl Embedded {
    /// Opens the stores, takes the port and starts the node.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and what was expected; `Unavailable` when a store cannot be reached; `Corrupt` when the
    /// journal cannot be understood.
    pub async fn start(settings: EmbeddedSettings) -> Result<Self> {
        settings.node.validate()?;
        let clock = SystemClock;
        let incarnation = clock.wall().as_micros();
        let id = NodeId::new(&settings.node.name, incarnation)?;
        let journal = settings.journal.open(false).await?;
        let mut peers = Vec::new();
        for peer in &settings.peers {
            peers.push(PeerPlace {
                place: peer.place.clone(),
                stores: peer.journal.open(true).await?.stores(),
            });
        }
        let tcp = TcpSettings { cluster_name: settings.node.cluster_name.clone(), ..settings.tcp };
        let transport = TcpTransport::bind(id, settings.bind, tcp)?;
        let address = transport.local_address();
        if address.ip().is_unspecified() && settings.advertised_host.is_none() {
            return Err(Error::rejected(format!(
                "`advertised_host`: expected a host that other nodes can reach, since `bind` is {address}"
            )));
        }
        let advertised = match &settings.advertised_host {
            Some(host) => format!("{host}:{}", address.port()),
            None => address.to_string(),
        };
        let parts = NodeParts {
            clock: Arc::new(clock),
            stores: journal.stores(),
            transport,
            address: advertised,
            http_address: settings.http_address,
            peers,
            incarnation,
            metrics: Arc::new(Metrics::new()),
        };
        let node = Node::start(settings.node, parts).await?;
        Ok(Self { node, journal, address })
    }
}
