//! The Cassandra journal, on the server at `BENCH_CASSANDRA` (`make bench-cassandra` starts one).

mod appends;
mod catch_up;
mod hot;
mod places;
mod replay;

pub(crate) use appends::appends;
pub(crate) use catch_up::{catch_up, serve};
pub(crate) use hot::hot;
pub(crate) use places::{idle, journal_loop};
pub(crate) use replay::replay;

use antiphon::cassandra::cql::{Replication, ServerSettings, apply};
use antiphon::cassandra::{CassandraSettings, CassandraStores};
use antiphon_base::time::{Clock, SystemClock};

const RUNS: usize = 3;

fn point() -> String {
    std::env::var("BENCH_CASSANDRA").unwrap_or_else(|_| "127.0.0.1:9042".into())
}

/// A new name for a place.
fn new_place() -> String {
    SystemClock.wall().as_micros().to_string()
}

/// The settings of a place on the server; its tables are created.
async fn settings(place: &str) -> CassandraSettings {
    let server = ServerSettings {
        contact_points: vec![point()],
        keyspace: "antiphon_bench".into(),
        place: place.into(),
        replication: Some(Replication::Simple(1)),
        ..ServerSettings::default()
    };
    apply(&server).await.expect("a server: `make bench-cassandra`");
    CassandraSettings { server, ..CassandraSettings::default() }
}

/// The stores of a new place.
async fn stores() -> CassandraStores {
    stores_of(&new_place()).await
}

/// The stores of a place.
async fn stores_of(place: &str) -> CassandraStores {
    let settings = settings(place).await;
    Box::pin(CassandraStores::open(settings)).await.expect("stores")
}
