//! The program moves an Antiphon journal to Cassandra and back, on the server at `TEST_CASSANDRA`
//! (127.0.0.1:9042 unless set).

use antiphon_base::time::{Clock, SystemClock};
use antiphon_cassandra::cql::{self, CqlTables, Replication, ServerSettings};
use antiphon_cassandra::tables::LogTables;
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::store::Stores;
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::stores::{Writer, assert_same, id};
use crate::support::{Setup, wait_for};

const CARTS: u64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_moves_to_cassandra_and_back_while_it_is_written_and_the_mover_is_killed() {
    let server = server().await;
    let mut setup = setup();
    let (old, back) = (path(&setup, "old.sqlite"), path(&setup, "back.sqlite"));
    let source = SqliteStores::open(&old, SqliteSettings::default()).unwrap();
    let writer = Writer::open(source.stores()).await;
    read_from(&mut setup, "JournalPath", &old);
    write_to_cassandra(&mut setup, &server);

    // killed four times while events arrive, each time after some more are there
    let target = open(&server).await;
    let mut written = 0;
    for round in 1..=4 {
        for _ in 0..120 {
            written += 1;
            writer.append(written).await;
        }
        let replicator = setup.start();
        let some = SequenceNr::new(round * 40 - 20);
        let arrived = async || target.journal.highest(&id(1)).await.unwrap() >= some;
        wait_for("half of the events of this round", arrived).await;
        replicator.kill().await;
    }
    let mut replicator = setup.start();
    let all = SequenceNr::new(written / CARTS);
    wait_for("everything", async || ends(&target).await == [all; 3]).await;
    wait_for("it to be ready", async || replicator.is_ready().await).await;
    replicator.stop().await;
    assert_same(&writer.stores, &target, written).await;
    let (code, text) = setup.execute(&["verify"]).await;
    assert_eq!((code, text.trim()), (Some(0), "3 of 3 streams equal, 480 events the same"));
    let (_, parked) = setup.execute(&["park", "list"]).await;
    assert!(parked.contains("0 events in parking lots"), "{parked}");

    // readers need not follow a writer that will never write again
    let (tables, _) = CqlTables::open(&server).await.unwrap();
    let writers = tables.writers().await.unwrap();
    assert!(writers.len() >= 5, "one for each start: {writers:?}");
    assert!(writers.iter().all(|one| one.sealed && one.copied), "{writers:?}");

    // back into a new file, with a run that ends when everything is copied
    let mut setup = self::setup();
    read_from_cassandra(&mut setup, &server);
    setup.set("Settings__Sink", "journal").set("Settings__JournalPath", &back);
    setup.set("Settings__RunOnce", "true");
    setup.start().succeeds().await;
    let returned = SqliteStores::open(&back, SqliteSettings::reader()).unwrap();
    assert_same(&writer.stores, &returned.stores(), written).await;
    let (code, text) = setup.execute(&["verify"]).await;
    assert_eq!(code, Some(0), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_names_what_differs_between_journals() {
    let mut setup = setup();
    let (old, new) = (path(&setup, "old.sqlite"), path(&setup, "new.sqlite"));
    let source = SqliteStores::open(&old, SqliteSettings::default()).unwrap();
    let writer = Writer::open(source.stores()).await;
    let target = SqliteStores::open(&new, SqliteSettings::default()).unwrap();
    let moved = Writer::open(target.stores()).await;
    for number in 1..=6 {
        writer.append(number).await;
    }
    // cart 0 has an event too few, cart 1 a different payload, cart 2 an event too many
    for number in [1, 2, 3, 6, 9] {
        moved.append(number).await;
    }
    moved.append_as(5, 77).await;
    read_from(&mut setup, "JournalPath", &old);
    setup.set("Settings__Sink", "journal").set("Settings__JournalPath", &new);

    let (code, text) = setup.execute(&["verify"]).await;

    assert_eq!(code, Some(1), "{text}");
    for line in [
        "cart|c-0: 1 missing, 0 extra, 0 different, 0 out of order",
        "cart|c-1: 0 missing, 0 extra, 1 different, 0 out of order",
        "the payload differs",
        "cart|c-2: 0 missing, 1 extra, 0 different, 0 out of order",
        "0 of 3 streams equal, 4 events the same",
    ] {
        assert!(text.contains(line), "`{line}` in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_tables_are_refused_with_the_command_that_makes_them() {
    let nowhere = ServerSettings { keyspace: "antiphon_not_there".into(), ..server().await };
    let mut setup = setup();
    let old = path(&setup, "old.sqlite");
    SqliteStores::open(&old, SqliteSettings::default()).unwrap();
    read_from(&mut setup, "JournalPath", &old);
    write_to_cassandra(&mut setup, &nowhere);
    let as_sink = setup.execute(&["run"]).await;

    let mut setup = self::setup();
    read_from_cassandra(&mut setup, &nowhere);
    setup.set("Settings__Sink", "ndjson").set("Settings__NdjsonPath", "events.ndjson");
    let as_source = setup.execute(&["run"]).await;

    for (code, text) in [as_sink, as_source] {
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("keyspace `antiphon_not_there`: it is not there"), "{text}");
        assert!(text.contains("run `antiphon schema apply --config FILE`"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cassandra_that_is_away_is_waited_for_and_named_in_health() {
    // a port without a listener
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let away = ServerSettings {
        contact_points: vec![address.to_string()],
        place: "DC-A".into(),
        ..ServerSettings::default()
    };
    let mut as_source = setup();
    read_from_cassandra(&mut as_source, &away);
    as_source.set("Settings__Sink", "ndjson").set("Settings__NdjsonPath", "events.ndjson");
    let mut as_sink = setup();
    let old = path(&as_sink, "old.sqlite");
    let source = SqliteStores::open(&old, SqliteSettings::default()).unwrap();
    Writer::open(source.stores()).await.append(1).await;
    read_from(&mut as_sink, "JournalPath", &old);
    write_to_cassandra(&mut as_sink, &away);

    for (setup, side) in [(as_source, "source down: "), (as_sink, "destination down: ")] {
        let mut replicator = setup.start();
        wait_for("the reason in /health/ready", async || {
            let (code, body) = replicator.get("/health/ready").await;
            code == 503 && body.contains(side) && body.contains(&address.to_string())
        })
        .await;
        replicator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checked_configuration_names_every_problem_and_shows_no_password() {
    let mut setup = setup();
    read_from(&mut setup, "JournalPath", "old.sqlite");
    setup.set("Settings__Sink", "journal").set("Settings__Journal__Kind", "cassandra");
    setup.set("Settings__Journal__Auth__Password", "s3cret");
    setup.set("Settings__Journal__Keyspace", "a-b");
    let (code, text) = setup.execute(&["check-config"]).await;
    assert_eq!(code, Some(1), "{text}");
    for problem in [
        "`Settings:Journal:ContactPoints`: expected at least one `host:port`, actual \"none\"",
        "`Settings:Journal:Keyspace`: expected a letter, then letters, digits and `_`, at most 48 in all, actual \"a-b\"",
        "`Settings:Journal:Place`: expected the name of the place whose journal it is",
        "`Settings:Journal:Auth`: missing field `user`",
    ] {
        assert!(text.contains(problem), "`{problem}` in:\n{text}");
    }
    assert!(!text.contains("s3cret"), "{text}");

    let old = path(&setup, "old.sqlite");
    SqliteStores::open(&old, SqliteSettings::default()).unwrap();
    setup.set("Settings__Journal__ContactPoints__0", "db-1:9042");
    setup.set("Settings__Journal__Keyspace", "shop").set("Settings__Journal__Place", "DC-A");
    setup.set("Settings__Journal__Auth__User", "antiphon");
    let (code, text) = setup.execute(&["check-config"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Settings:Journal:Auth:Password = ***"), "{text}");
    assert!(text.contains("the configuration is valid") && !text.contains("s3cret"), "{text}");

    setup.set("Settings__Journal__Tls__CaFile", "no-such-ca.pem");
    let (code, text) = setup.execute(&["check-config"]).await;
    assert_eq!(code, Some(1), "{text}");
    let problem =
        "`Settings:Journal:Tls:CaFile`: expected certificates as PEM, actual no-such-ca.pem";
    assert!(text.contains(problem), "{text}");
}

/// A separate place on the server, with its tables created.
async fn server() -> ServerSettings {
    let point = std::env::var("TEST_CASSANDRA").unwrap_or_else(|_| "127.0.0.1:9042".into());
    let settings = ServerSettings {
        contact_points: point.split(',').map(str::to_owned).collect(),
        keyspace: "antiphon_test".into(),
        place: format!("replicator-{}", SystemClock.wall().as_micros()),
        replication: Some(Replication::Simple(1)),
        partition_events_max: 1000,
        ..ServerSettings::default()
    };
    // servers may refuse to create the same tables twice at the same time
    static CREATION: Mutex<()> = Mutex::const_new(());
    let _alone = CREATION.lock().await;
    let created = cql::apply(&settings).await;
    created.expect("the tests need a Cassandra: start one with `make cassandra-up`");
    settings
}

async fn open(server: &ServerSettings) -> Stores {
    let server = server.clone();
    let settings = CassandraSettings { server, ..CassandraSettings::default() };
    CassandraStores::open(settings).await.unwrap().stores()
}

fn setup() -> Setup {
    let mut setup = Setup::new("", "");
    setup.variables.retain(|name, _| !name.ends_with("ConnectionString"));
    setup
}

fn path(setup: &Setup, name: &str) -> String {
    setup.folder.path().join(name).display().to_string()
}

fn read_from(setup: &mut Setup, key: &str, value: &str) {
    setup.set("Settings__Subscriptions__0__Kind", "journal");
    setup.set("Settings__Subscriptions__0__JournalEntityType", "cart");
    setup.set("Settings__Subscriptions__0__JournalPollInterval", "00:00:00.050");
    setup.set(&format!("Settings__Subscriptions__0__{key}"), value);
}

fn read_from_cassandra(setup: &mut Setup, server: &ServerSettings) {
    read_from(setup, "Journal__Kind", "cassandra");
    set_server(setup, "Settings__Subscriptions__0__Journal", server);
}

fn write_to_cassandra(setup: &mut Setup, server: &ServerSettings) {
    setup.set("Settings__Sink", "journal").set("Settings__Journal__Kind", "cassandra");
    set_server(setup, "Settings__Journal", server);
}

fn set_server(setup: &mut Setup, key: &str, server: &ServerSettings) {
    for (index, point) in server.contact_points.iter().enumerate() {
        setup.set(&format!("{key}__ContactPoints__{index}"), point);
    }
    setup.set(&format!("{key}__Keyspace"), &server.keyspace);
    setup.set(&format!("{key}__Place"), &server.place);
}

async fn ends(stores: &Stores) -> [SequenceNr; 3] {
    let mut ends = [SequenceNr::ZERO; 3];
    for (cart, end) in (0..CARTS).zip(&mut ends) {
        *end = stores.journal.highest(&id(cart)).await.unwrap();
    }
    ends
}
