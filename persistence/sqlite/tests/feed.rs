//! Many readers of one change feed at the same time: one for each shard of a node.

#[path = "support/carts.rs"]
mod carts;

use antiphon_base::task::spawn;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{ReplicaId, SliceRange};
use antiphon_persistence::store::{
    ChangesPage, ChangesQuery, Journal, Offset, ReadJournal, WriterId,
};
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use futures::future::join_all;
use tempfile::TempDir;

use carts::{append, id};

const READERS: u64 = 20;

async fn changes(stores: &SqliteStores, after: Offset) -> ChangesPage {
    let query = ChangesQuery {
        entity_type: "cart".into(),
        replica: ReplicaId::new("A").expect("a replica"),
        slices: SliceRange::ALL,
        after,
        change_count_max: 1000,
    };
    stores.changes(&query).await.expect("a page")
}

async fn open(folder: &TempDir) -> (SqliteStores, WriterId) {
    let stores = SqliteStores::open(folder.path().join("a.db"), SqliteSettings::default());
    let (stores, writer) = (stores.expect("a file"), WriterId::new("n@1").expect("a writer"));
    stores.open_writer(&writer).await.expect("a new writer");
    (stores, writer)
}

#[tokio::test]
async fn readers_that_ask_at_the_same_time_share_one_read() {
    let folder = TempDir::new().expect("a folder");
    let (stores, writer) = open(&folder).await;
    let start = changes(&stores, Offset::start()).await.through;
    for number in 0..5 {
        stores.append(&writer, append(&format!("c-{number}"), 1)).await.expect("stored");
    }
    let before = stores.stats();
    let pages = join_all((0..READERS).map(|_| changes(&stores, start.clone()))).await;
    assert!(pages.iter().all(|page| page.changes.len() == 5 && !page.more), "{pages:?}");
    let after = stores.stats();
    // the first call reads alone; the others come during its read, and share the next one
    assert_eq!(after.reads - before.reads, 2);
    assert_eq!(after.feed_cache_hits - before.feed_cache_hits, READERS - 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_finds_what_was_stored_before_it_asked() {
    let folder = TempDir::new().expect("a folder");
    let (stores, writer) = open(&folder).await;
    let readers = (0..READERS).map(|reader| {
        let (stores, writer) = (stores.clone(), writer.clone());
        spawn("reader", async move {
            let name = format!("c-{reader}");
            let mut position = Offset::start();
            for number in 1..=30 {
                stores.append(&writer, append(&name, number)).await.expect("stored");
                let page = changes(&stores, position).await;
                let own = page.changes.iter().find(|change| change.persistence_id == id(&name));
                let highest = own.map(|change| change.highest);
                assert!(highest >= Some(SequenceNr::new(number)), "{name} {number}: {highest:?}");
                position = page.through;
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.expect("no assertion fails");
    }
}
