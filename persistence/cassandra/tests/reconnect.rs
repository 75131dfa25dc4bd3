//! A server that was away is used again at once, however long it was away; the driver alone waits
//! up to 10 s. On a real server, see `conformance.rs`, through a proxy that can be closed.

mod support;

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_cassandra::cql::ServerSettings;
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::store::Coordination;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Takes connections to the server until it is dropped; then all connections break.
struct Proxy(JoinSet<()>);

impl Proxy {
    async fn open(address: &str, server: Arc<str>) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let server = server.clone();
                connections.spawn(async move {
                    let Ok(mut server) = TcpStream::connect(&*server).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self(tasks)
    }

    async fn close(mut self) {
        self.0.shutdown().await;
    }
}

/// A free port at the host of the server: the driver connects to the address that the server names,
/// at the port of the contact point.
async fn free_address(server: &str) -> String {
    let (host, _) = server.rsplit_once(':').expect("host and port");
    let listener = TcpListener::bind((host, 0)).await.expect("the server is on this machine");
    listener.local_addr().expect("an address").to_string()
}

#[test]
fn statements_are_answered_two_seconds_after_the_server_is_back_at_the_latest() {
    // outside the runtime below, because it makes the tables in a runtime of its own
    let server = support::server();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(the_server_goes_and_comes_back(server));
}

async fn the_server_goes_and_comes_back(mut server: ServerSettings) {
    let real: Arc<str> = server.contact_points[0].as_str().into();
    let address = free_address(&real).await;
    server.contact_points = vec![address.clone()];
    server.repeat_timeout = Duration::from_millis(100);
    let proxy = Proxy::open(&address, real.clone()).await;
    let settings = CassandraSettings { server, ..CassandraSettings::default() };
    let stores = CassandraStores::open(settings).await.unwrap_or_else(|error| panic!("{error}"));
    stores.read("members", "a").await.expect("an answer");

    proxy.close().await;
    // long enough for the driver to wait long between two attempts
    let away = SystemClock.now() + Duration::from_secs(15);
    let mut failures = 0;
    while SystemClock.now() < away {
        assert!(stores.read("members", "a").await.is_err(), "nobody is there");
        failures += 1;
    }
    assert!(failures < 200, "{failures} attempts in 15 s: a failure is not answered faster");
    let proxy = Proxy::open(&address, real).await;
    let back = SystemClock.now();
    while let Err(error) = stores.read("members", "a").await {
        let waited = SystemClock.now().duration_since(back);
        assert!(waited < Duration::from_secs(2), "after {waited:?}: {error}");
    }
    let waited = SystemClock.now().duration_since(back);
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    proxy.close().await;
}
