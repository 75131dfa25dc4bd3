//! Catch-up of 100,000 events of 100 entities, from the journal of another process.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon::cassandra::{CassandraStores, Role};
use antiphon_persistence::entity::{EntitySettings, StandaloneHost};
use antiphon_persistence::store::{Journal, WriterId};

use super::super::catch_up::{EVENTS, fill, follow};
use super::super::entities::{counters, replica};
use super::{RUNS, new_place, settings, stores};
use crate::process::{Spawned, runtime, until_stdin_ends};
use crate::report::Report;
use crate::stats::Runs;

const ENTITIES: usize = 100;

pub(crate) fn catch_up(report: &mut Report) {
    let mut rates = Runs::default();
    for _ in 0..RUNS {
        let place = new_place();
        let mut child = Spawned::new(&["child-cassandra", &place]);
        assert_eq!(child.line(), "ready");
        rates.push(runtime().block_on(events_per_second(&place)));
    }
    report.plain("cassandra-catch-up", "100 entities, two processes", "events/s", &rates);
}

/// The other process: writes the events, and stays.
pub(crate) async fn serve(place: &str) {
    let stores = Box::pin(CassandraStores::open(settings(place).await)).await.expect("stores");
    let writer = WriterId::new("a@1").expect("a name");
    stores.open_writer(&writer).await.expect("a new writer");
    fill(&stores, &writer, ENTITIES).await;
    println!("ready");
    until_stdin_ends().await;
}

async fn events_per_second(place: &str) -> f64 {
    let mut settings = settings(place).await;
    settings.role = Role::Reader;
    let a = Box::pin(CassandraStores::open(settings)).await.expect("stores");
    let b = stores().await.stores();
    let peers: BTreeMap<_, Arc<dyn Journal>> = [(replica("A"), a.stores().journal)].into();
    let host = Arc::new(StandaloneHost);
    let runtime = counters(&b, &["A", "B"], peers, EntitySettings::default(), host).await;
    follow(&runtime, ENTITIES, EVENTS).await.0
}
