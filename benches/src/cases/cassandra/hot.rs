//! Acknowledged commands per second of one entity with 64 clients, with output commit and without.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_persistence::entity::{EntitySettings, StandaloneHost};
use antiphon_persistence::identity::ReplicationId;

use super::super::entities::counters;
use super::super::hot_entity;
use super::{RUNS, stores};
use crate::process::runtime;
use crate::report::Report;
use crate::stats::{Runs, Stopwatch};

pub(crate) fn hot(report: &mut Report) {
    let on = Runs::of(RUNS, || commands_per_second(true, 100_000));
    let off = Runs::of(RUNS, || commands_per_second(false, 2_000));
    let case = "64 clients";
    report.compare("cassandra-hot-entity", case, "commands/s", &on, ("one append a command", &off));
}

fn commands_per_second(pipelined: bool, count: usize) -> f64 {
    runtime().block_on(async {
        let stores = stores().await.stores();
        let settings = EntitySettings { pipelined, ..EntitySettings::default() };
        let counters =
            counters(&stores, &["A"], BTreeMap::new(), settings, Arc::new(StandaloneHost)).await;
        let id = ReplicationId::parse("counter|c-1|A").expect("an id");
        let counter = counters.spawn(id).expect("an entity");
        hot_entity::drive(&counter, 100).await;
        let watch = Stopwatch::start();
        hot_entity::drive(&counter, count).await;
        watch.rate(count)
    })
}
