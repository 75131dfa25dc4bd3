//! The server of the tests.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_cassandra::cql::{Replication, ServerSettings, apply};
use tokio::net::TcpStream;
use tokio::time::Instant;

const KEYSPACE: &str = "antiphon_test";

/// A place of its own on the server; the tables exist.
pub(crate) fn server() -> ServerSettings {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static APPLIED: OnceLock<()> = OnceLock::new();
    let point = std::env::var("TEST_CASSANDRA").unwrap_or_else(|_| "127.0.0.1:9042".into());
    let copies = std::env::var("TEST_CASSANDRA_COPIES").ok();
    let copies = copies.map_or(1, |text| text.parse().expect("a number of copies"));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let settings = ServerSettings {
        contact_points: point.split(',').map(str::to_owned).collect(),
        keyspace: KEYSPACE.into(),
        place: format!("{}-{number}", SystemClock.wall().as_micros()),
        replication: Some(Replication::Simple(copies)),
        partition_events_max: 1000,
        ..ServerSettings::default()
    };
    APPLIED.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(make_tables(&settings, copies));
    });
    settings
}

/// Makes the tables. One of several servers may be away while a campaign begins.
async fn make_tables(settings: &ServerSettings, copies: u32) {
    let until = SystemClock.now() + Duration::from_secs(60);
    while let Err(error) = apply(settings).await {
        if copies == 1 || SystemClock.now() > until {
            panic!("the tests need a Cassandra: start one with `make cassandra-up`: {error}");
        }
        all_are_there(&settings.contact_points, until).await;
    }
}

/// Waits until each server takes connections, at the latest until `until`.
async fn all_are_there(contact_points: &[String], until: Instant) {
    for point in contact_points {
        let mut tries = tokio::time::interval(Duration::from_millis(100));
        while TcpStream::connect(point).await.is_err() && SystemClock.now() < until {
            tries.tick().await;
        }
    }
}
