//! Acknowledged commands per second of one entity with 64 clients, durable, with output commit and
//! without.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::task;
use antiphon_counter::{Command, Counter};
use antiphon_persistence::entity::{EntityHandle, EntitySettings, StandaloneHost};
use antiphon_persistence::identity::ReplicationId;
use antiphon_sqlite::{SqliteSettings, SqliteStores};

use super::entities::counters;
use crate::process::runtime;
use crate::report::Report;
use crate::stats::{Runs, Stopwatch};

const RUNS: usize = 5;
const CLIENTS: usize = 64;

pub(crate) fn run(report: &mut Report) {
    let on = Runs::of(RUNS, || commands_per_second(true, 200_000));
    let off = Runs::of(RUNS, || commands_per_second(false, 8_000));
    let case = format!("{CLIENTS} clients");
    report.compare("hot-entity", case, "commands/s", &on, ("one append a command", &off));
}

fn commands_per_second(pipelined: bool, count: usize) -> f64 {
    let folder = tempfile::tempdir_in("target").expect("a writable folder");
    runtime().block_on(async {
        let stores = SqliteStores::open(folder.path().join("a.db"), SqliteSettings::default());
        let stores = stores.expect("a new journal").stores();
        let settings = EntitySettings { pipelined, ..EntitySettings::default() };
        let counters =
            counters(&stores, &["A"], BTreeMap::new(), settings, Arc::new(StandaloneHost)).await;
        let id = ReplicationId::parse("counter|c-1|A").expect("an id");
        let counter = counters.spawn(id).expect("an entity");
        drive(&counter, 100).await;
        let watch = Stopwatch::start();
        drive(&counter, count).await;
        watch.rate(count)
    })
}

pub(crate) async fn drive(counter: &EntityHandle<Counter>, count: usize) {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let counter = counter.clone();
            task::spawn("client", async move {
                for _ in 0..count / CLIENTS {
                    let ask = |reply_to| Command::Add { delta: 1, reply_to };
                    counter.ask(ask).await.expect("an answer");
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client");
    }
}
