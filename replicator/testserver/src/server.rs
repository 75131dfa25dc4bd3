//! The server: a handle that starts, stops and restarts it, and gives access to its faults and
//! data.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use antiphon_eventstore::wire::gossip::gossip_server::GossipServer;
use antiphon_eventstore::wire::persistent_subscriptions::persistent_subscriptions_server::PersistentSubscriptionsServer;
use antiphon_eventstore::wire::server_features::server_features_server::ServerFeaturesServer;
use antiphon_eventstore::wire::streams::streams_server::StreamsServer;
use antiphon_eventstore::{Error, ErrorKind, ExpectedRevision, NewEvent, Result};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Server;

use crate::accept::{acceptor, incoming};
use crate::faults::Faults;
use crate::node::Node;
use crate::service::about::AboutService;
use crate::service::persistent::PersistentService;
use crate::service::streams::StreamsService;
use crate::settings::ServerSettings;
use crate::store::{Appended, Deletion, Store};

/// A running event store. Dropping it stops it like a crash.
pub struct TestServer {
    settings: ServerSettings,
    address: SocketAddr,
    faults: Faults,
    store: Arc<Mutex<Store>>,
    running: Option<Running>,
}

struct Running {
    node: Arc<Node>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::result::Result<(), tonic::transport::Error>>,
}

/// Number of bytes that a peer may send ahead. Large, so that one connection uses the machine's
/// full throughput.
const WINDOW_BYTES: u32 = 4 << 20;

/// Interval at which a stopping server resets connections until it has none.
const RESET_INTERVAL: Duration = Duration::from_millis(50);

impl TestServer {
    /// Starts a server. A cancelled call leaves nothing running.
    ///
    /// # Errors
    /// `Rejected` for settings out of range, `Unavailable` when the address or the file cannot be
    /// used.
    pub async fn start(settings: ServerSettings) -> Result<Self> {
        settings.validate()?;
        let store = Arc::new(Mutex::new(Store::open(&settings)?));
        let listener = listen(&settings.listen).await?;
        let address = listener.local_addr().map_err(|error| unusable(&settings.listen, error))?;
        let faults = Faults::default();
        let mut server = Self { settings, address, faults, store, running: None };
        server.run(listener)?;
        Ok(server)
    }

    /// The address at which it listens, even while it is stopped.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection string for clients of this server.
    pub fn connection_string(&self) -> String {
        let user = self
            .settings
            .credentials
            .as_ref()
            .map(|credentials| format!("{}:{}@", credentials.user, credentials.password));
        let tls = self.settings.tls.is_some();
        format!("esdb://{}{}?tls={tls}", user.unwrap_or_default(), self.address)
    }

    /// The switches of its faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Stops it like a crash: connections break, nothing more is stored, the data stays. After a
    /// cancelled call connections may be open still.
    pub async fn stop(&mut self) {
        let Some(Running { node, stop, mut task }) = self.running.take() else { return };
        node.abort_groups();
        // a server that has ended needs no signal
        let _ = stop.send(());
        loop {
            // a connection in the middle of its handshake appears only later
            self.faults.reset_connections();
            match tokio::time::timeout(RESET_INTERVAL, &mut task).await {
                Ok(Ok(Ok(()))) => return,
                Ok(Ok(Err(error))) => return tracing::error!(%error, "the test server failed"),
                Ok(Err(error)) => return tracing::error!(%error, "the test server panicked"),
                Err(_) => {}
            }
        }
    }

    /// Starts again on the same port with the same data. Stops first if it runs. A cancelled call
    /// may leave it stopped.
    ///
    /// # Errors
    /// `Unavailable` when the port is taken.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await;
        let listener = listen(&self.address.to_string()).await?;
        self.run(listener)
    }

    /// Appends without a client, at any current revision of the stream.
    ///
    /// # Errors
    /// `StreamDeleted`; `Unavailable` when the file cannot be written.
    pub fn append(&self, stream: &str, events: Vec<NewEvent>) -> Result<()> {
        match self.store.lock().append(stream, ExpectedRevision::Any, events)? {
            Appended::Tombstoned => {
                let message = format!("append to stream `{stream}`: it was deleted for ever");
                Err(Error::new(ErrorKind::StreamDeleted, message))
            }
            Appended::Written { .. } | Appended::Repeated { .. } | Appended::Wrong { .. } => Ok(()),
        }
    }

    /// Deletes a stream without a client, at any current revision: softly, so that its numbers go
    /// on when it is written again.
    ///
    /// # Errors
    /// `StreamDeleted`; `NotFound` when the stream never was; `Unavailable` when the file cannot be
    /// written.
    pub fn delete(&self, stream: &str) -> Result<()> {
        self.remove(stream, Deletion::Soft)
    }

    /// Deletes a stream for ever without a client, at any current revision.
    ///
    /// # Errors
    /// `StreamDeleted`; `Unavailable` when the file cannot be written.
    pub fn tombstone(&self, stream: &str) -> Result<()> {
        self.remove(stream, Deletion::Tombstone)
    }

    fn remove(&self, stream: &str, how: Deletion) -> Result<()> {
        let refused =
            |kind, why: &str| Err(Error::new(kind, format!("delete stream `{stream}`: {why}")));
        match self.store.lock().delete(stream, ExpectedRevision::Any, how)? {
            Appended::Written { .. } | Appended::Repeated { .. } => Ok(()),
            Appended::Tombstoned => refused(ErrorKind::StreamDeleted, "it was deleted for ever"),
            Appended::Wrong { .. } => refused(ErrorKind::NotFound, "it never was"),
        }
    }

    /// Number of entries in the log, including links.
    pub fn log_length(&self) -> usize {
        self.store.lock().log().len()
    }

    /// Waits until the log has this number of entries, including links. A cancelled call leaves
    /// nothing behind.
    pub async fn grows_to(&self, length: usize) {
        let mut head = self.store.lock().head();
        // the store has the sending side as long as this server lives
        let _ = head.wait_for(|entries| *entries >= length).await;
    }

    fn run(&mut self, listener: TcpListener) -> Result<()> {
        let acceptor = self.settings.tls.as_ref().map(acceptor).transpose()?;
        let (settings, faults) = (self.settings.clone(), self.faults.clone());
        let node = Arc::new(Node::new(settings, self.address, faults, Arc::clone(&self.store)));
        node.start_groups();
        let bytes_max = self.settings.message_bytes_max;
        let router = Server::builder()
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES * 4)
            .add_service(
                StreamsServer::new(StreamsService(Arc::clone(&node)))
                    .max_decoding_message_size(bytes_max),
            )
            .add_service(PersistentSubscriptionsServer::new(PersistentService(Arc::clone(&node))))
            .add_service(GossipServer::new(AboutService(Arc::clone(&node))))
            .add_service(ServerFeaturesServer::new(AboutService(Arc::clone(&node))));
        let (stop, stopped) = oneshot::channel();
        let connections = incoming(listener, acceptor, self.faults.connections());
        let serve = router.serve_with_incoming_shutdown(connections, async {
            // dropping the handle stops the server too
            let _ = stopped.await;
        });
        let task = task::spawn("event store test server", serve);
        self.running = Some(Running { node, stop, task });
        Ok(())
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.node.abort_groups();
            running.task.abort();
            self.faults.reset_connections();
        }
    }
}

async fn listen(address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| unusable(address, error))
}

fn unusable(address: &str, error: std::io::Error) -> Error {
    let message = format!("`listen`: cannot listen at `{address}`: {error}");
    Error::new(ErrorKind::Unavailable, message).with_source(error)
}
