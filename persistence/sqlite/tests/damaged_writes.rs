//! Writes to damaged files: the error of a row or of the file, and never a stop of the writer by an
//! assertion. A damaged file is no fault of the program.

#[path = "support/carts.rs"]
mod carts;
mod support;

use std::path::Path;

use antiphon_base::{ErrorKind, Result};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::store::{
    Coordination, FencingToken, Journal, Offset, OffsetKey, OffsetStore, WriterId,
};
use antiphon_persistence_tck::Generator;
use antiphon_sqlite::{Durability, SqliteSettings, SqliteStores};
use tempfile::TempDir;

use carts::{append, id};
use support::flip::Flipper;

/// Damaged files of each test.
const ROUNDS: u64 = 150;
const TABLES: [&str; 8] =
    ["streams", "heads", "batches", "marks", "writers", "cells", "tokens", "offsets"];

fn open(path: &Path) -> Result<SqliteStores> {
    let durability = Durability::Relaxed;
    SqliteStores::open(path, SqliteSettings { durability, ..SqliteSettings::default() })
}

/// Writes a stream that is long enough for marks, a stream with deleted events, and rows of all
/// else.
async fn write(path: &Path) {
    let stores = open(path).expect("a new file");
    let writer = WriterId::new("n@1").expect("a name");
    stores.open_writer(&writer).await.expect("a new writer");
    for number in 1..=70 {
        stores.append(&writer, append("long", number)).await.expect("stored");
    }
    for number in 1..=3 {
        stores.append(&writer, append("short", number)).await.expect("stored");
    }
    stores.delete_to(&id("short"), SequenceNr::new(1)).await.expect("deleted");
    for (kind, outcome) in rows(&stores).await {
        outcome.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

type Outcome = (&'static str, Result<()>);

/// Writes rows besides streams.
async fn rows(stores: &SqliteStores) -> Vec<Outcome> {
    let (key, row) = (OffsetKey { reader: "r".into(), part: "p".into() }, Some("row".into()));
    let homes = [("shard".into(), row.clone()), ("gone".into(), None)];
    vec![
        ("cas", stores.compare_and_set("members", "a", None, row).await.map(drop)),
        ("put", stores.put_fenced("homes", FencingToken(7), &homes).await.map(drop)),
        ("raise", stores.raise_token("leases", FencingToken(3)).await.map(drop)),
        ("offset", stores.save_offset(&key, &Offset::new("7")).await),
    ]
}

/// Makes each kind of write, and asserts that no error is a fault of the program.
async fn write_damaged(path: &Path, what: &str) {
    let stores = match open(path) {
        Ok(stores) => stores,
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::Bug, "{what}: {error}");
            return;
        }
    };
    let (old, new) = (WriterId::new("n@1").expect("a name"), WriterId::new("m@1").expect("a name"));
    let mut outcomes = vec![("writer", stores.open_writer(&new).await)];
    for writer in [&old, &new] {
        for (name, number) in [("long", 71), ("short", 4), ("long", 72), ("new", 1)] {
            outcomes.push((name, stores.append(writer, append(name, number)).await));
        }
    }
    for (name, last) in [("long", 66), ("short", 2)] {
        outcomes.push(("delete", stores.delete_to(&id(name), SequenceNr::new(last)).await));
    }
    outcomes.extend(rows(&stores).await);
    outcomes.push(("seal", stores.seal(&new).await));
    for (kind, outcome) in outcomes {
        let is_fault = outcome.as_ref().is_err_and(|error| {
            error.kind() == ErrorKind::Bug || error.to_string().contains("fault of the program")
        });
        assert!(!is_fault, "{what}: {kind}: {outcome:?}");
    }
    let checked = stores.check_file().map_err(|error| error.kind());
    assert_ne!(checked, Err(ErrorKind::Bug), "{what}");
}

#[tokio::test]
async fn a_flipped_bit_of_a_row_does_not_stop_the_writer() {
    let folder = TempDir::new().expect("a folder");
    write(&folder.path().join("journal.db")).await;
    let mut flipper = Flipper::of(folder.path());
    for round in 0..ROUNDS {
        let (what, path) = flipper.flip(&TABLES, Generator::new(round).number());
        write_damaged(&path, &what).await;
    }
}

#[tokio::test]
async fn a_flipped_bit_of_a_page_does_not_stop_the_writer() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("journal.db");
    write(&path).await;
    let sound = std::fs::read(&path).expect("the file");
    for round in 0..ROUNDS {
        let choice = usize::try_from(Generator::new(round).number() >> 1).expect("64 bits");
        // the header of the file tells whose file it is
        let bit = 800 + choice % (sound.len() * 8 - 800);
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let path = folder.path().join(format!("damaged-{round}.db"));
        std::fs::write(&path, damaged).expect("a copy");
        write_damaged(&path, &format!("bit {bit}")).await;
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
    }
}
