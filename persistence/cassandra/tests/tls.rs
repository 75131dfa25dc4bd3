//! Encrypted connections, to the server of the tests.
#![cfg(feature = "tls")]

mod support;

use std::path::{Path, PathBuf};

use antiphon_base::{ErrorKind, Result};
use antiphon_cassandra::cql::Tls;
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::store::{CasOutcome, Coordination};
use bytes::Bytes;

async fn open(ca_file: PathBuf) -> Result<CassandraStores> {
    let mut server = support::server();
    server.tls = Some(Tls { ca_file, cert_file: None, key_file: None });
    CassandraStores::open(CassandraSettings { server, ..CassandraSettings::default() }).await
}

/// The authority of the server that `deploy/cassandra` starts.
fn authority() -> PathBuf {
    match std::env::var("TEST_CASSANDRA_CA") {
        Ok(path) => path.into(),
        Err(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/cassandra/1/tls.pem"),
    }
}

#[test]
fn the_stores_work_over_an_encrypted_connection() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = std::thread::spawn(support::server);
    server.join().expect("a server");
    runtime.block_on(async {
        let stores = Box::pin(open(authority())).await.expect("stores");
        let value = Some(Bytes::from_static(b"v"));
        let put = stores.compare_and_set("t", "k", None, value).await.expect("an answer");
        assert_eq!(put, CasOutcome::Applied(1));
    });
}

#[test]
fn a_server_of_another_authority_is_refused() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = std::thread::spawn(support::server);
    server.join().expect("a server");
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/other.pem");
    let error = runtime.block_on(Box::pin(open(other))).err().expect("no connection");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("certificate"), "{error}");
}
