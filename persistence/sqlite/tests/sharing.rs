//! Two processes write into one file. Here a connection takes the part of the other process: SQLite
//! locks the file between connections.

use std::thread::park_timeout;
use std::time::Duration;

use antiphon_base::task::spawn;
use antiphon_persistence::store::{Coordination, FencingToken};
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use rusqlite::Connection;
use tempfile::TempDir;

const WRITES: u64 = 20;

/// The time that the other process holds the file for a group, and the time from one group to the
/// next. Several of the writer's steps fit into the gap, and SQLite's later ones do not.
const GROUP: Duration = Duration::from_millis(20);
const GAP: Duration = Duration::from_millis(1);

/// Groups of the other process during one write, on average. Measured: 1 to 2, and 30 or more, or
/// none within `busy_timeout`, when SQLite itself waits.
const GROUPS_PER_WRITE_MAX: u64 = 6;

/// SQLite's own waiting tries the lock at steps that grow to a tenth of a second, and so meets the
/// short gap between two groups only by chance, after seconds. Then the lease of this process ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_comes_in_the_first_gaps_of_a_process_that_writes_group_after_group() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.db");
    let stores = SqliteStores::open(&path, SqliteSettings::default()).expect("a file");
    let other = Connection::open(&path).expect("a connection");
    let mut groups = 0;
    for token in 1..=WRITES {
        let begin = || other.execute_batch("BEGIN IMMEDIATE").expect("the store is quick");
        begin();
        let stores = stores.clone();
        let write =
            spawn("write", async move { stores.raise_token("t", FencingToken(token)).await });
        loop {
            park_timeout(GROUP);
            other.execute_batch("COMMIT").expect("nothing was changed");
            groups += 1;
            park_timeout(GAP);
            if write.is_finished() {
                break;
            }
            begin();
        }
        let raised = write.await.expect("no panic").expect("it comes within `busy_timeout`");
        assert_eq!(raised, FencingToken(token));
    }
    assert!(groups <= WRITES * GROUPS_PER_WRITE_MAX, "{groups} groups during {WRITES} writes");
}
