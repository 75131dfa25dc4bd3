//! The check of the settings beside a running node: the check refuses what a start refuses, and
//! makes no file.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use antiphon::runtime::NodeSettings;
use antiphon::runtime::transport::tcp::TcpSettings;
use antiphon::sqlite::{Role, SqliteSettings};
use antiphon::{Embedded, EmbeddedSettings, Journal, PeerSettings};
use tempfile::TempDir;

fn settings(journal: &Path) -> EmbeddedSettings {
    EmbeddedSettings {
        node: NodeSettings {
            name: "a".into(),
            place: "A".into(),
            cluster_name: "one".into(),
            shard_count: 16,
            ..NodeSettings::default()
        },
        journal: sqlite(journal),
        peers: Vec::new(),
        bind: "127.0.0.1:0".parse().expect("an address"),
        advertised_host: None,
        http_address: None,
        tcp: TcpSettings { cluster_name: "one".into(), ..TcpSettings::default() },
        start_timeout: Duration::from_secs(60),
    }
}

fn sqlite(path: &Path) -> Journal {
    Journal::sqlite(path, SqliteSettings::default())
}

fn peer(place: &str, journal: &Path) -> PeerSettings {
    PeerSettings { place: place.into(), journal: sqlite(journal) }
}

fn refusal(settings: &EmbeddedSettings) -> String {
    settings.validate().expect_err("it is to be refused").to_string()
}

/// The names of the files of a folder.
fn files(folder: &Path) -> BTreeSet<OsString> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_belongs_elsewhere_is_refused_before_a_start() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.db");
    let own = settings(&path);
    own.validate().expect("there is no journal yet");
    assert!(files(folder.path()).is_empty());
    let running = Embedded::start(own.clone()).await.expect("it starts");

    let before = files(folder.path());
    own.validate().expect("it is the journal of this place");
    let of = |change: &dyn Fn(&mut NodeSettings)| {
        let mut other = own.clone();
        change(&mut other.node);
        refusal(&other)
    };
    let message = of(&|node| node.shard_count = 8);
    assert!(
        message.contains("`shard_count`")
            && message.contains("expected 8, as configured, actual 16"),
        "{message}"
    );
    let message = of(&|node| node.cluster_name = "other".into());
    assert!(message.contains("`cluster_name`") && message.contains("\"other\""), "{message}");
    let message = of(&|node| node.place = "B".into());
    assert!(message.contains("`place`: expected \"B\""), "{message}");

    let mut other = settings(&folder.path().join("b.db"));
    other.node.place = "B".into();
    other.peers = vec![peer("A", &path)];
    other.validate().expect("the peer is the place A");
    other.peers = vec![peer("C", &path)];
    let message = refusal(&other);
    assert!(message.contains("`peers`: place \"C\": `place`"), "{message}");
    assert_eq!(files(folder.path()), before);
    running.node.crash();
}

#[test]
fn two_places_with_one_file_are_refused_before_the_file_exists() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("cfg")).expect("made");
    symlink(at("cfg/../a.db"), at("link.db")).expect("made");
    for path in ["a.db", "cfg/../a.db", "link.db"] {
        let mut own = settings(&at("a.db"));
        own.peers = vec![peer("B", &at(path))];
        let message = refusal(&own);
        assert!(message.contains("actual that of this node (`journal`)"), "{path}: {message}");
        own.peers = vec![peer("B", &at("b.db")), peer("C", &at("cfg/../b.db"))];
        let message = refusal(&own);
        assert!(message.contains("actual that of another peer"), "{path}: {message}");
    }
}

#[test]
fn an_own_journal_that_is_only_read_is_refused_by_its_setting() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.db");
    let reader = SqliteSettings { role: Role::Reader, ..SqliteSettings::default() };
    let own =
        EmbeddedSettings { journal: Journal::sqlite(path.clone(), reader), ..settings(&path) };
    let message = refusal(&own);
    assert!(message.contains("`sqlite.role`: expected \"owner\""), "{message}");
}

#[test]
fn an_address_of_another_machine_and_a_host_with_a_port_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let mut own = settings(&folder.path().join("a.db"));
    own.advertised_host = Some("node-1.example:7400".into());
    assert!(refusal(&own).contains("`advertised_host`"));
    own.advertised_host = Some("0.0.0.0".into());
    assert!(refusal(&own).contains("`advertised_host`"));
    own.advertised_host = None;
    // an address for documentation (RFC 5737), which no machine has
    own.bind = "192.0.2.1:0".parse().expect("an address");
    let message = refusal(&own);
    assert!(message.contains("`bind`") && message.contains("of this machine"), "{message}");
}
