//! Nodes on the log, and logs that are cut off or damaged.

use std::path::Path;

use antiphon::base::ErrorKind;
use antiphon::persistence::event::SequenceNr;
use antiphon::persistence::identity::PersistenceId;
use antiphon::persistence::store::{FencingToken, Role, Snapshot, Stores};
use antiphon_own_store::{LogStores, places};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_places_have_all_events_and_go_on_after_a_restart() {
    let folder = TempDir::new().expect("a folder");
    let first = Box::pin(places::run(folder.path(), 5)).await.expect("a run");
    assert_eq!((first.values["DC-A"], first.values["DC-B"], first.events), (10, 10, 10));
    let second = Box::pin(places::run(folder.path(), 5)).await.expect("another run");
    assert_eq!((second.values["DC-A"], second.values["DC-B"], second.events), (20, 20, 20));
}

fn open(path: &Path, role: Role) -> antiphon::prelude::Result<Stores> {
    LogStores::open(path, role).map(|log| log.stores())
}

async fn raise(stores: &Stores, token: u64) -> antiphon::prelude::Result<FencingToken> {
    stores.coordination.raise_token("t", FencingToken(token)).await
}

#[tokio::test]
async fn a_record_that_the_end_of_the_file_cuts_off_was_never_acknowledged() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.log");
    let stores = open(&path, Role::Owner).expect("a log");
    raise(&stores, 1).await.expect("stored");
    let one = std::fs::metadata(&path).expect("a file").len();
    raise(&stores, 2).await.expect("stored");
    drop(stores);
    let two = std::fs::metadata(&path).expect("a file").len();
    let whole = std::fs::read(&path).expect("a file");
    for length in one..two {
        std::fs::write(&path, &whole[..usize::try_from(length).expect("small")]).expect("written");
        let stores = open(&path, Role::Owner).expect("a log");
        let token = stores.coordination.scan("t").await.expect("a table").token;
        assert_eq!(token, FencingToken(1), "{length} bytes");
        assert_eq!(raise(&stores, 3).await.expect("stored"), FencingToken(3));
        drop(stores);
        let again = open(&path, Role::Reader).expect("a log");
        assert_eq!(again.coordination.scan("t").await.expect("a table").token, FencingToken(3));
    }
}

#[tokio::test]
async fn a_flipped_bit_is_found_and_nothing_is_written_after_it() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.log");
    let stores = open(&path, Role::Owner).expect("a log");
    for token in 1..=3 {
        raise(&stores, token).await.expect("stored");
    }
    drop(stores);
    let sound = std::fs::read(&path).expect("a file");
    for at in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&path, &damaged).expect("written");
        let error = open(&path, Role::Owner).err().expect("the damage is found");
        // without its mark it is another program's file
        let expected = if at < 8 { ErrorKind::Rejected } else { ErrorKind::Corrupt };
        assert_eq!(error.kind(), expected, "byte {at}: {error}");
        assert!(std::fs::read(&path).expect("a file") == damaged, "byte {at}: left as it is");
    }
}

#[tokio::test]
async fn a_reader_writes_nothing_and_a_missing_log_may_come_later() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.log");
    let error = open(&path, Role::Reader).err().expect("there is no log");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let owner = open(&path, Role::Owner).expect("a log");
    let reader = open(&path, Role::Reader).expect("a log");
    raise(&owner, 7).await.expect("stored");
    assert_eq!(reader.coordination.scan("t").await.expect("a table").token, FencingToken(7));
    assert_eq!(raise(&reader, 8).await.expect_err("refused").kind(), ErrorKind::Rejected);
}

#[tokio::test]
async fn a_file_of_another_program_is_refused_and_left_as_it_is() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.log");
    for text in ["x", "a note of somebody else, which is longer than a header"] {
        std::fs::write(&path, text).expect("written");
        let error = open(&path, Role::Owner).err().expect("it is refused");
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), text);
    }
}

#[tokio::test]
async fn a_log_that_was_taken_away_acknowledges_nothing_and_its_reader_follows_the_path() {
    let folder = TempDir::new().expect("a folder");
    let (path, other) = (folder.path().join("a.log"), folder.path().join("b.log"));
    let owner = open(&path, Role::Owner).expect("a log");
    raise(&owner, 1).await.expect("stored");
    std::fs::copy(&path, &other).expect("a copy");
    raise(&owner, 2).await.expect("stored");
    let reader = open(&path, Role::Reader).expect("a log");
    assert_eq!(reader.coordination.scan("t").await.expect("a table").token, FencingToken(2));

    std::fs::rename(&other, &path).expect("the copy takes the place of the log");
    assert_eq!(raise(&owner, 3).await.expect_err("not stored").kind(), ErrorKind::Timeout);
    assert_eq!(raise(&owner, 4).await.expect_err("lost").kind(), ErrorKind::Fenced);
    assert_eq!(reader.coordination.scan("t").await.expect("a table").token, FencingToken(1));
}

#[tokio::test]
async fn what_the_limits_take_can_be_read_again() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.log");
    let stores = open(&path, Role::Owner).expect("a log");
    let limits = stores.journal.limits();
    let id = PersistenceId::parse("counter|c-1|A").expect("an id");
    let mut snapshot = Snapshot::void(SequenceNr::new(1));
    snapshot.state.bytes = vec![1; limits.snapshot_bytes_max].into();
    stores.snapshots.save_snapshot(&id, &snapshot).await.expect("it is within the limits");
    drop(stores);
    let stores = open(&path, Role::Reader).expect("the log is read again");
    let read = stores.snapshots.latest_snapshot(&id, SequenceNr::MAX).await.expect("a read");
    assert!(read.is_some_and(|read| read.state.bytes == snapshot.state.bytes));
}
