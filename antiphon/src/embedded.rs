//! A node with a journal and TCP links, as the `antiphon` binary runs it, for applications that
//! embed one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{ErrorKind, bounds};
use antiphon_runtime::transport::tcp::{TcpSettings, TcpTransport};
use antiphon_runtime::{
    Error, Metrics, Node, NodeId, NodeParts, NodeSettings, PeerPlace, Result, cannot_listen,
    check_listen,
};

use crate::address::{check_host, host_and_port};
use crate::patience::{Patience, RETRY_INTERVAL};
use crate::peer::{Peer, PeerSettings};
use crate::{Journal, OpenJournal};

/// The settings of an embedded node.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// Name, place, cluster, timeouts.
    pub node: NodeSettings,
    /// The journal of the place; all nodes of the place use the same one.
    pub journal: Journal,
    /// The other places.
    pub peers: Vec<PeerSettings>,
    /// The address on which other nodes connect; port 0 takes any free port.
    pub bind: SocketAddr,
    /// The host under which other nodes reach this node, when it differs from the host of `bind`.
    pub advertised_host: Option<String>,
    /// Address of the application's HTTP interface, if there is one; the node only publishes it.
    pub http_address: Option<String>,
    /// Links.
    pub tcp: TcpSettings,
    /// Longest time that the start waits for the journal of the place while the journal is slow or
    /// cannot be reached over the network; then the start fails.
    pub start_timeout: Duration,
}

impl EmbeddedSettings {
    /// Checks every value, how the values fit each other, the files that the settings name, and
    /// that this machine has the address of `bind`. Nothing is created, changed or connected, also
    /// while nodes use the files. [`Embedded::start`] calls this first.
    ///
    /// Only the start finds out that a port is in use, that a server is out of reach, or that a
    /// journal on a server belongs elsewhere.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and what was expected; `Unavailable` or `Corrupt`
    /// when a file cannot be inspected.
    pub fn validate(&self) -> Result<()> {
        self.node.validate()?;
        self.tcp.validate()?;
        self.tcp.validate_with(&self.node.gate)?;
        bounds::duration("start_timeout", self.start_timeout, Duration::ZERO..=bounds::YEAR)?;
        if self.bind.ip().is_unspecified() && self.advertised_host.is_none() {
            return Err(Error::rejected(format!(
                "`advertised_host`: expected a host that other nodes can reach, since `bind` is {}",
                self.bind
            )));
        }
        self.advertised_host.as_deref().map_or(Ok(()), check_host)?;
        check_listen("bind", self.bind)?;
        self.tcp.check_protection(self.bind)?;
        self.tcp().check_certificates(&self.node.name)?;
        self.journal.check(false)?;
        self.journal.check_place(&self.node, &self.node.place)?;
        self.check_peers()
    }

    fn check_peers(&self) -> Result<()> {
        for (index, peer) in self.peers.iter().enumerate() {
            let of_peer = |expected: &str| {
                let place = &peer.place;
                Err(Error::rejected(format!("`peers`: place {place:?}: expected {expected}")))
            };
            if peer.place == self.node.place {
                return of_peer("another place, actual the own one (`node.place`)");
            }
            let others = &self.peers[..index];
            if others.iter().any(|other| other.place == peer.place) {
                return of_peer("each place once, actual twice");
            }
            if peer.journal.is_same(&self.journal) {
                return of_peer("its own journal, actual that of this node (`journal`)");
            }
            if others.iter().any(|other| other.journal.is_same(&peer.journal)) {
                return of_peer("its own journal, actual that of another peer");
            }
            let within = |error: Error| {
                Error::new(error.kind(), format!("`peers`: place {:?}: {error}", peer.place))
            };
            peer.journal.check(true).map_err(within)?;
            match peer.journal.check_place(&self.node, &peer.place) {
                Err(error) if error.kind() == ErrorKind::Rejected => return Err(within(error)),
                // a node starts without a journal that cannot be read, and reports it
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The settings of the links, which say who this node is.
    fn tcp(&self) -> TcpSettings {
        TcpSettings {
            cluster_name: self.node.cluster_name.clone(),
            place: self.node.place.clone(),
            ..self.tcp.clone()
        }
    }

    /// Fails while the port is taken, before a journal is created. Another program may still take
    /// the port between this check and the start.
    fn probe_port(&self) -> Result<()> {
        let probed = std::net::TcpListener::bind(self.bind).map(drop);
        probed.map_err(|error| cannot_listen("bind", self.bind, &error))
    }
}

/// A node with the journal that it opened.
pub struct Embedded {
    /// The node.
    pub node: Node,
    /// The journal of its place.
    pub journal: OpenJournal,
    /// The journals of the other places, which may not be reached yet.
    pub peers: Vec<Peer>,
    /// The address on which other nodes connect.
    pub address: SocketAddr,
}

/// Time between two checks of the journal's file.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

impl Embedded {
    /// Opens the stores, takes the port and starts the node.
    ///
    /// A cancelled call ends the node that it was starting, as a kill does. The row of the node may
    /// stay in the members table until the other members declare it dead.
    ///
    /// While the stores of the own place are slow or cannot be reached over the network, the start
    /// is tried again, until `start_timeout`. The stores of other places may arrive later: a place
    /// starts and works while another place is lost.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and what was expected; `Unavailable` or `Timeout`
    /// for a store that cannot be reached; `Corrupt` for a journal that cannot be understood.
    pub async fn start(settings: EmbeddedSettings) -> Result<Self> {
        Self::start_telling(settings, |_| {}).await
    }

    /// The same as [`Self::start`], also when it is cancelled; in addition, calls `waits` with each
    /// new reason why the start waits.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_telling(
        settings: EmbeddedSettings,
        waits: impl Fn(&str) + Send + Sync,
    ) -> Result<Self> {
        settings.validate()?;
        settings.probe_port()?;
        if settings.tcp.insecure && settings.tcp.tls.is_none() {
            tracing::warn!(
                "`links.insecure` is set: whoever reaches `bind`, or the network between nodes, owns this node"
            );
        }
        let patience = Patience::new(SystemClock.now(), settings.start_timeout, waits);
        let open = || settings.journal.open(false);
        let journal = if settings.journal.is_remote() {
            patience.until_reached(open).await?
        } else {
            // a file that cannot be opened now cannot be opened by another attempt
            open().await?
        };
        let mut peers = Vec::new();
        for peer in &settings.peers {
            let known = Peer::new(&peer.place);
            known.try_open(peer).await?;
            peers.push(known);
        }
        // each attempt is a new incarnation: the outcome of the attempt before may be unknown
        let attempt = || attempt(&settings, &journal, &peers);
        let (node, address) = patience.until_reached(attempt).await?;
        crate::relay::answer(&node, &peers);
        for (settings, peer) in settings.peers.into_iter().zip(&peers) {
            crate::relay::follow_through(&node, peer);
            if peer.stores.reason().is_some() {
                let peer = peer.clone();
                let this = node.clone();
                node.spawn("peer stores", async move {
                    while !matches!(peer.try_open(&settings).await, Ok(true)) {
                        tokio::time::sleep(RETRY_INTERVAL).await;
                    }
                    crate::relay::follow_through(&this, &peer);
                    tracing::info!(place = settings.place, "the journal of the place is reached");
                });
            }
        }
        watch(&node, journal.clone());
        Ok(Self { node, journal, peers, address })
    }
}

/// Ends the node when its journal is no longer the journal that it opened.
fn watch(node: &Node, journal: OpenJournal) {
    let this = node.clone();
    node.spawn("journal watch", async move {
        loop {
            let journal = journal.clone();
            // a disk that does not answer must not block other tasks
            let checked = tokio::task::spawn_blocking(move || journal.check()).await;
            if let Ok(Err(error)) = checked {
                this.fence(&error.to_string());
                return;
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    });
}

async fn attempt(
    settings: &EmbeddedSettings,
    journal: &OpenJournal,
    peers: &[Peer],
) -> Result<(Node, SocketAddr)> {
    let clock = SystemClock;
    let incarnation = clock.wall().as_micros();
    let id = NodeId::new(&settings.node.name, incarnation)?;
    let transport = TcpTransport::bind(id, settings.bind, settings.tcp())?;
    let address = transport.local_address();
    if address.ip().is_unspecified() && settings.advertised_host.is_none() {
        return Err(Error::rejected(format!(
            "`advertised_host`: expected a host that other nodes can reach, since `bind` is {address}"
        )));
    }
    let advertised = match &settings.advertised_host {
        Some(host) => host_and_port(host, address.port()),
        None => address.to_string(),
    };
    let peer = |peer: &Peer| PeerPlace { place: peer.place.clone(), stores: peer.stores.stores() };
    let parts = NodeParts {
        clock: Arc::new(clock),
        stores: journal.stores(),
        transport,
        address: advertised,
        http_address: settings.http_address.clone(),
        peers: peers.iter().map(peer).collect(),
        incarnation,
        metrics: Arc::new(Metrics::new()),
    };
    Ok((Node::start(settings.node.clone(), parts).await?, address))
}
