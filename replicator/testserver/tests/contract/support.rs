//! Shared parts of the tests: servers, clients with short times, and a proxy that drops packets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use antiphon_eventstore::{
    AppendOutcome, ClientSettings, ConnectionString, ErrorKind, EventStoreClient, ExpectedRevision,
    NewEvent, Subscription, SubscriptionMessage,
};
use antiphon_eventstore_testserver::{ServerSettings, TestServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) async fn server() -> TestServer {
    TestServer::start(ServerSettings::default()).await.unwrap()
}

/// Client settings with short times.
pub(crate) fn settings() -> ClientSettings {
    ClientSettings {
        request_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        keep_alive_interval: Duration::from_millis(200),
        keep_alive_timeout: Duration::from_millis(300),
        discovery_interval: Duration::from_millis(10),
        gossip_timeout: Duration::from_secs(2),
        discover_attempts_max: 2,
        ..ClientSettings::default()
    }
}

pub(crate) fn client(server: &TestServer) -> EventStoreClient {
    connect(&server.connection_string())
}

pub(crate) fn connect(text: &str) -> EventStoreClient {
    EventStoreClient::new(ConnectionString::parse(text).unwrap(), settings()).unwrap()
}

/// `count` events whose data is their number.
pub(crate) fn events(count: usize) -> Vec<NewEvent> {
    (0..count).map(|number| NewEvent::json("counted", number.to_string())).collect()
}

pub(crate) fn written(next_revision: u64, outcome: AppendOutcome) -> Option<()> {
    match outcome {
        AppendOutcome::Written { next_revision: actual, .. } => {
            (actual == next_revision).then_some(())
        }
        AppendOutcome::WrongExpectedRevision { .. } => None,
    }
}

pub(crate) async fn append(client: &EventStoreClient, stream: &str, count: usize) {
    client.append(stream, ExpectedRevision::Any, events(count)).await.unwrap();
}

/// The data of the next event of a subscription. Skips other messages.
pub(crate) async fn next_data(subscription: &mut Subscription) -> String {
    loop {
        if let SubscriptionMessage::Event(event) = soon(subscription.next()).await.unwrap() {
            return String::from_utf8(event.event.unwrap().data.to_vec()).unwrap();
        }
    }
}

/// The output of a future that must finish soon.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("something within 20 s")
}

/// The kind and the message of an error.
pub(crate) fn told<T: std::fmt::Debug>(
    result: antiphon_eventstore::Result<T>,
) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.to_string())
}

/// A proxy before a server. It can drop all data, like a network that lost a route.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    swallows: Arc<watch::Sender<bool>>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let swallows = Arc::new(watch::Sender::new(false));
        let switch = Arc::clone(&swallows);
        task::spawn("proxy", async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(server).await.unwrap();
                let (near, far) = (near.into_split(), far.into_split());
                task::spawn("there", pass(near.0, far.1, switch.subscribe()));
                task::spawn("back", pass(far.0, near.1, switch.subscribe()));
            }
        });
        Self { address, swallows }
    }

    pub(crate) fn swallow(&self, on: bool) {
        self.swallows.send_replace(on);
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    swallows: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer).await {
        let lost = *swallows.borrow();
        if count == 0 || (!lost && to.write_all(&buffer[..count]).await.is_err()) {
            return;
        }
    }
}
