//! The single connection shared by the clones of a client. It is opened at first use and dropped
//! when it breaks; the next request opens a new one. A single node is retried without end, once per
//! request.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ClientConfig;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::address::NodeAddress;
use crate::connection_string::ConnectionString;
use crate::connector::Connector;
use crate::discovery::choose;
use crate::error::{Error, ErrorKind, Result};
use crate::greeting::{Complaint, Complaints};
use crate::settings::ClientSettings;
use crate::wire;
use crate::wire::gossip::gossip_client::GossipClient;

/// A connection that is open, or was open when it was handed out.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) channel: Channel,
    /// The fault of the server, if it is no event store.
    pub(crate) complaints: Complaints,
    node: NodeAddress,
    /// The number of this connection among all connections of the client.
    generation: u64,
}

/// A connection that was opened, and what its server did wrong.
type Opened = (Channel, Complaints);

/// Opens connections and keeps the current one.
pub(crate) struct Links {
    connection: ConnectionString,
    settings: ClientSettings,
    tls: Option<Arc<ClientConfig>>,
    authorization: Option<AsciiMetadataValue>,
    known: Mutex<Known>,
    /// Held while a connection is opened, so that a single request opens it and the others wait.
    making: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    link: Option<Link>,
    /// The leader's address, as reported by another node.
    leader: Option<NodeAddress>,
    generation: u64,
}

impl Links {
    pub(crate) fn new(
        connection: ConnectionString,
        settings: ClientSettings,
        tls: Option<Arc<ClientConfig>>,
        authorization: Option<AsciiMetadataValue>,
    ) -> Self {
        let (known, making) = (Mutex::default(), Default::default());
        Self { connection, settings, tls, authorization, known, making }
    }

    /// The current connection, or a new one.
    ///
    /// # Errors
    /// `Unavailable` when no node is reached within the attempts and times of the settings;
    /// `AccessDenied` when the members of a cluster do not accept the credentials.
    pub(crate) async fn get(&self, doing: &str) -> Result<Link> {
        if let Some(link) = self.current() {
            return Ok(link);
        }
        let patience = self.settings.request_timeout.max(self.settings.connect_timeout);
        tokio::time::timeout(patience, self.make(doing)).await.unwrap_or_else(|_| {
            let why = format!("no connection to {} within {patience:?}", self.nodes());
            Err(Error::of(ErrorKind::Unavailable, doing, why))
        })
    }

    /// Drops `link`: later requests open a new connection, to `leader` if it is known.
    pub(crate) fn discard(&self, link: &Link, leader: Option<NodeAddress>) {
        let mut known = self.known.lock();
        if known.link.as_ref().is_some_and(|current| current.generation == link.generation) {
            known.link = None;
            known.leader = leader;
            tracing::debug!(node = %link.node, "connection given up");
        }
    }

    fn current(&self) -> Option<Link> {
        self.known.lock().link.clone()
    }

    async fn make(&self, doing: &str) -> Result<Link> {
        let _alone = self.making.lock().await;
        if let Some(link) = self.current() {
            return Ok(link);
        }
        let mut last = None;
        for attempt in 0..self.settings.discover_attempts_max {
            if attempt > 0 {
                tokio::time::sleep(self.settings.discovery_interval).await;
            }
            match self.round(attempt).await {
                Ok((node, (channel, complaints))) => {
                    return Ok(self.keep(node, channel, complaints));
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => last = Some(error),
                Err(error) => return Err(error.of_call(doing)),
            }
        }
        let attempts = self.settings.discover_attempts_max;
        let Some(last) = last else {
            return Err(Error::of(ErrorKind::Unavailable, doing, "no attempt is allowed"));
        };
        let why = format!("{last} ({attempts} attempts)");
        Err(Error::of(ErrorKind::Unavailable, doing, why).with_source(last))
    }

    fn keep(&self, node: NodeAddress, channel: Channel, complaints: Complaints) -> Link {
        let mut known = self.known.lock();
        known.generation += 1;
        tracing::debug!(%node, generation = known.generation, "connected");
        let link = Link { channel, complaints, node, generation: known.generation };
        known.link = Some(link.clone());
        link
    }

    /// Tries each known node once.
    async fn round(&self, attempt: u32) -> Result<(NodeAddress, Opened)> {
        let leader = self.known.lock().leader.take();
        if let Some(leader) = leader {
            match self.connect(&leader).await {
                Ok(channel) => return Ok((leader, channel)),
                Err(error) => tracing::debug!(%leader, %error, "leader not reached"),
            }
        }
        if !self.connection.cluster {
            let node = self.connection.nodes.first().ok_or_else(|| Error::rejected("no node"))?;
            return Ok((node.clone(), self.connect(node).await?));
        }
        let mut last = None;
        for seed in &self.connection.nodes {
            match self.ask(seed, attempt).await {
                Ok(found) => return Ok(found),
                Err(error) if error.kind() == ErrorKind::Unavailable => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::rejected("the connection string names no node")))
    }

    /// Asks a node for the members of its cluster, and connects to the chosen member.
    async fn ask(&self, seed: &NodeAddress, attempt: u32) -> Result<(NodeAddress, Opened)> {
        let (channel, complaints) = self.connect(seed).await?;
        let mut request = Request::new(wire::Empty {});
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        let asked = async { GossipClient::new(channel.clone()).read(request).await };
        let failed = |why: &str| {
            Error::of(ErrorKind::Unavailable, &format!("cannot ask `{seed}` for its cluster"), why)
        };
        let info = match within(self.settings.gossip_timeout, asked).await {
            Some(Ok(info)) => info.into_inner(),
            Some(Err(status)) if says_denied(&status) => {
                let why = "it does not accept the user and password of the connection string";
                let error = Error::new(ErrorKind::AccessDenied, failed(why).message());
                return Err(error.with_source(status));
            }
            Some(Err(status)) => {
                let complaint = *complaints.lock();
                return Err(failed(complaint.map_or(status.message(), |one| match one {
                    Complaint::Foreign(why) | Complaint::Silent(why) => why,
                })));
            }
            None => return Err(failed("no answer in time (setting `gossip_timeout`)")),
        };
        let turn = usize::try_from(attempt).unwrap_or_default();
        let chosen = choose(&info.members, self.connection.node_preference, turn);
        let none = || failed("no member of the cluster that is wanted is alive");
        let node = chosen.ok_or_else(none)?;
        let opened =
            if node == *seed { (channel, complaints) } else { self.connect(&node).await? };
        Ok((node, opened))
    }

    async fn connect(&self, node: &NodeAddress) -> Result<Opened> {
        let ClientSettings {
            connect_timeout,
            keep_alive_interval,
            keep_alive_timeout,
            stream_window_bytes,
            connection_window_bytes,
            ..
        } = self.settings;
        // the connector does TLS itself, so tonic must not: it sees `http`, the server sees `https`
        let address = |scheme: &str| format!("{scheme}://{node}");
        let origin = address(if self.tls.is_some() { "https" } else { "http" });
        let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::rejected(format!("`{node}` is no address")).with_source(error)
        };
        let endpoint = Endpoint::from_shared(address("http"))
            .map_err(|error| wrong(error.into()))?
            .origin(origin.parse().map_err(|error: http::uri::InvalidUri| wrong(error.into()))?)
            .http2_keep_alive_interval(keep_alive_interval)
            .keep_alive_timeout(keep_alive_timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(stream_window_bytes)
            .initial_connection_window_size(connection_window_bytes);
        let complaints = Complaints::default();
        let tls = self.tls.clone();
        let connector = Connector::new(node.clone(), tls, connect_timeout, complaints.clone());
        let channel = endpoint.connect_with_connector(connector).await;
        channel.map(|channel| (channel, complaints)).map_err(|error| {
            let cause = crate::status::connect_failure(&error)
                .unwrap_or_else(|| format!("cannot connect to `{node}`: {error}"));
            Error::new(ErrorKind::Unavailable, cause).with_source(error)
        })
    }

    fn nodes(&self) -> String {
        self.connection.nodes.iter().map(|node| format!("`{node}`")).collect::<Vec<_>>().join(", ")
    }
}

fn says_denied(status: &Status) -> bool {
    matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied)
}

/// The result of `future`; none when it takes longer than `limit`.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}
