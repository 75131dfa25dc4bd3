//! Reminders when statements are refused, lost, or take effect late: what was acknowledged is found
//! again. On a real server (see `conformance.rs`): the statements of a poll, and the tables of an
//! earlier build.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Timestamp;
use antiphon_base::{ErrorKind, Result};
use antiphon_cassandra::cql::{ServerSettings, apply};
use antiphon_cassandra::model::{Faults, FaultyTables, ModelTables};
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{ReminderRow, ReminderStore};
use antiphon_persistence_tck::Generator;
use scylla::client::session_builder::SessionBuilder;

const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 60 * MINUTE;
const NOW: u64 = 500_000 * HOUR;

const FAULTS: Faults = Faults {
    refused: 60,
    unknown_applied: 60,
    unknown_late: 60,
    unknown_lost: 60,
    delay_max: Duration::from_millis(5),
    late_max: Duration::from_secs(1),
};

fn row(due: u64, number: u64) -> ReminderRow {
    ReminderRow {
        due: Timestamp::from_micros(due),
        persistence_id: PersistenceId::parse(format!("cart|c-{number}|A")).expect("an id"),
        name: "expire".into(),
        set_by: SequenceNr::new(1),
    }
}

/// Calls again until the call succeeds, as an entity does.
async fn until_done<T>(mut call: impl AsyncFnMut() -> Result<T>) -> T {
    loop {
        if let Ok(value) = call().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn due(stores: &CassandraStores, until: u64, row_count_max: usize) -> Vec<ReminderRow> {
    let until = Timestamp::from_micros(until);
    until_done(async || stores.due("cart", until, None, row_count_max).await).await
}

async fn run(seed: u64) {
    let model = Arc::new(ModelTables::new());
    let session = |seed| {
        let tables = FaultyTables::new(model.clone(), seed, FAULTS);
        CassandraStores::on(Arc::new(tables), CassandraSettings::default(), 7)
    };
    let mut sessions = [session(seed), session(seed + 1_000_000)];
    let mut random = Generator::new(seed);
    let mut expected = BTreeSet::new();
    let mut until = NOW - 2 * HOUR;
    for step in 0..300 {
        let of = usize::try_from(random.below(2)).expect("few");
        match random.below(12) {
            0..=4 => {
                let at = NOW - 3 * HOUR + random.below(4) * HOUR + random.below(4) * MINUTE;
                let rows: Vec<_> = (0..=random.below(3))
                    .map(|index| row(at + random.below(MINUTE), step * 10 + index))
                    .collect();
                until_done(async || sessions[of].put(&rows).await).await;
                expected.extend(rows);
            }
            5..=8 => {
                until += random.below(10 * MINUTE);
                let count = usize::try_from(1 + random.below(6)).expect("few");
                let page = due(&sessions[of], until, count).await;
                let oldest = expected.iter().filter(|row| row.due.as_micros() <= until);
                let oldest: Vec<_> = oldest.take(count).cloned().collect();
                assert_eq!(page, oldest, "seed {seed}, step {step}");
                until_done(async || sessions[of].remove(&page).await).await;
                page.iter().for_each(|row| assert!(expected.remove(row)));
            }
            9 | 10 => {
                let gone = expected.iter().next_back().cloned();
                if let Some(gone) = gone {
                    until_done(async || sessions[of].remove(std::slice::from_ref(&gone)).await)
                        .await;
                    expected.remove(&gone);
                }
            }
            // a node restarts
            _ => sessions[of] = session(seed + 2_000_000 + step),
        }
    }
    tokio::time::sleep(FAULTS.late_max).await;
    for session in &sessions {
        let found = due(session, u64::MAX, 10_000).await;
        assert_eq!(found, expected.iter().cloned().collect::<Vec<_>>(), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_found_whatever_statements_do() {
    for seed in 0..60 {
        run(seed).await;
    }
}

/// Opens the stores of a new place on the server.
async fn on_server(server: ServerSettings) -> CassandraStores {
    let settings = CassandraSettings { server, ..CassandraSettings::default() };
    CassandraStores::open(settings).await.expect("the server answers")
}

/// The statements on reminders that a poll at `until` sends, which must find nothing.
async fn statements_of_poll(stores: &CassandraStores, until: u64) -> u64 {
    let sent = |stores: &CassandraStores| -> u64 {
        let counts = stores.statements();
        let of_polls = ["marks", "reminders", "put_mark", "remove_mark"];
        counts.iter().filter(|of| of_polls.contains(&of.name)).map(|of| of.sent).sum()
    };
    let before = sent(stores);
    assert_eq!(due(stores, until, 100).await, []);
    sent(stores) - before
}

/// Runs a test on a place of its own on the server.
fn run_on_server<F: Future<Output = ()>>(test: impl FnOnce(ServerSettings) -> F) {
    let server = support::server();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test(server));
}

#[test]
fn a_poll_that_finds_nothing_is_one_statement_also_of_a_new_session() {
    run_on_server(polls);
}

async fn polls(server: ServerSettings) {
    let stores = on_server(server.clone()).await;
    let of_minute = |minute: u64, count: u64| {
        (0..count).map(move |nr| row(NOW + minute * MINUTE + nr, minute * 1000 + nr))
    };
    let past: Vec<_> = (0..50).flat_map(|minute| of_minute(minute, 20)).collect();
    let later: Vec<_> = (55..300).flat_map(|minute| of_minute(minute, 2)).collect();
    stores.put(&[past.clone(), later.clone()].concat()).await.expect("put");
    let now = NOW + 54 * MINUTE;
    assert_eq!(due(&stores, now, 1000).await, past);
    stores.remove(&past).await.expect("remove");

    let first = statements_of_poll(&stores, now).await;
    assert!(first <= 53, "each minute once, the marks, and progress: {first}");
    assert_eq!(statements_of_poll(&stores, now).await, 1);
    let new = on_server(server).await;
    assert_eq!(statements_of_poll(&new, now + MINUTE - 1).await, 1, "it goes on at the progress");

    let found = due(&new, NOW + 300 * MINUTE, 1000).await;
    assert_eq!(found, later);
    new.remove(&found).await.expect("remove");
    statements_of_poll(&new, NOW + 300 * MINUTE).await;
    assert_eq!(statements_of_poll(&new, NOW + 300 * MINUTE).await, 1);
    let again = row(NOW, 7);
    new.put(std::slice::from_ref(&again)).await.expect("put");
    assert_eq!(due(&stores, NOW + 300 * MINUTE, 10).await, [again], "its marks were removed");
}

#[test]
fn a_keyspace_of_an_earlier_build_is_refused_with_the_command_that_mends_it() {
    run_on_server(earlier_build);
}

async fn earlier_build(of_tests: ServerSettings) {
    let server = ServerSettings { keyspace: "antiphon_earlier_build".into(), ..of_tests };
    let session = SessionBuilder::new().known_nodes(&server.contact_points).build().await;
    let session = session.expect("the server answers");
    for table in ["reminders", "reminder_marks"] {
        apply(&server).await.expect("the tables are made");
        let drop = format!("DROP TABLE {}.{table}", server.keyspace);
        session.query_unpaged(drop, ()).await.expect("dropped");
        let settings = CassandraSettings { server: server.clone(), ..CassandraSettings::default() };
        let error = CassandraStores::open(settings).await.err().expect("it is refused");
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        let message = error.to_string();
        assert!(message.contains(&format!("the table `{table}`")), "{message}");
        assert!(message.contains("antiphon schema apply"), "{message}");
    }
    apply(&server).await.expect("the table is made");
    let stores = on_server(server.clone()).await;
    stores.put(&[row(NOW, 1)]).await.expect("put");
    assert_eq!(due(&stores, NOW, 10).await, [row(NOW, 1)]);
    let drop = format!("DROP KEYSPACE {}", server.keyspace);
    session.query_unpaged(drop, ()).await.expect("dropped");
}
