//! The promises of the blog over real processes at two places: an upgrade of the first release by
//! `kill -9` and restart, both nodes killed and restarted in the middle of writes, on SQLite; and
//! on Cassandra when `TEST_CASSANDRA` names a server.

mod model;
#[path = "../../../shop/tests/promises/places.rs"]
mod places;
mod planted;
mod writers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::{LocalCluster, LocalJournals};
use antiphon::base::time::{Clock, SystemClock};
use antiphon_blog::{Article, Post};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{RwLock, mpsc};

use crate::model::{Told, broken};
use crate::places::{
    Addresses, PATIENCE, PLACES, events, kill_and_restart, nodes, post_once, two_places,
};
use crate::writers::{POSTS, conflict, path, write};

const WRITERS: u64 = 4;
/// Changes of each writer.
const CHANGES: u64 = 60;
const EXTRA: &str = "[sharding.types.post]\npassivate_after = \"1s\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blog_keeps_its_promises_through_an_upgrade_and_kills_on_sqlite() {
    keeps_its_promises(LocalJournals::default()).await;
}

#[cfg(feature = "cassandra")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blog_keeps_its_promises_through_an_upgrade_and_kills_on_cassandra() {
    if let Some(journals) = places::cassandra("antiphon_blog") {
        keeps_its_promises(journals).await;
    }
}

/// The program of the nodes from their next start on.
fn install(binary: &Path, release: &str) {
    let _ = std::fs::remove_file(binary);
    std::os::unix::fs::symlink(release, binary).expect("a link");
}

async fn keeps_its_promises(journals: LocalJournals) {
    let folder = TempDir::new().expect("a folder");
    let binary = folder.path().join("blog");
    install(&binary, env!("CARGO_BIN_EXE_blog-release-1"));
    let data = folder.path().join("data");
    let mut cluster = two_places(journals, &data, &binary, EXTRA).await;
    let addresses: Addresses = Arc::new(RwLock::new(nodes(&cluster)));
    let (old, new) = POSTS.split_at(POSTS.len() / 2);
    let mut told = Told::default();
    for (number, post) in old.iter().enumerate() {
        for round in ["first", "second"] {
            let text = format!("{round} title of {post}\n{round} body of {post}");
            let node = cluster.nodes()[number % 2].http.clone();
            post_once(node, &path(post), &json!({ "write": text })).await;
            told.titles.insert(((*post).to_owned(), format!("{round} title of {post}")));
            told.bodies.insert(((*post).to_owned(), format!("{round} body of {post}")));
        }
    }

    // an upgrade, one node after the other: the events of the first release stay as they are
    install(&binary, env!("CARGO_BIN_EXE_blog"));
    for index in [1, 0] {
        kill_and_restart(&mut cluster, index, &addresses).await;
    }
    for post in new {
        let draft = json!({ "draft": { "title": "new", "body": "draft" } });
        post_once(cluster.nodes()[0].http.clone(), &path(post), &draft).await;
        told.titles.insert(((*post).to_owned(), "new".to_owned()));
    }

    let (done, mut changes) = mpsc::channel(usize::try_from(WRITERS * CHANGES).expect("small"));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| write(number, CHANGES, addresses.clone(), done.clone()))
        .collect();
    for index in [1, 0] {
        for _ in 0..WRITERS * CHANGES / 4 {
            changes.recv().await.expect("the writers go on");
        }
        kill_and_restart(&mut cluster, index, &addresses).await;
    }
    for writer in writers {
        told.extend(writer.await.expect("no writer panics"));
    }
    conflict(&addresses, POSTS[0], &mut told).await;
    conflict(&addresses, POSTS[5], &mut told).await;
    let counts = [told.titles.len(), told.bodies.len(), told.tags.len(), told.published.len()];
    assert!(counts[0] > 12 && counts[1] > 40 && counts[2] > 8 && counts[3] > 3, "{counts:?}");
    all_is_kept(&cluster, &told).await;
}

/// Waits until both places have what the model says, by the journal of each.
async fn all_is_kept(cluster: &LocalCluster, told: &Told) {
    let until = SystemClock.now() + PATIENCE / 4;
    for place in PLACES {
        loop {
            let stored = events(cluster, place, Post::TYPE).await;
            let found = broken(&stored, told, &seen(cluster).await);
            if found.is_empty() {
                let old = stored.values().flatten().filter(|event| event.payload.version == 1);
                assert_eq!(old.count(), POSTS.len(), "two of each post of the first release");
                break;
            }
            assert!(SystemClock.now() < until, "{place}: {found:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The posts of each place.
async fn seen(cluster: &LocalCluster) -> Vec<BTreeMap<String, Article>> {
    let mut all = Vec::new();
    for node in cluster.nodes() {
        let mut client = Client::new(node.http.clone()).with_timeout(PATIENCE);
        let mut posts = BTreeMap::new();
        for post in POSTS {
            let read = client.json(&path(post), &[("antiphon-replica", &node.replica)]).await;
            if let Some(read) = read.ok().and_then(|read| serde_json::from_value(read).ok()) {
                posts.insert(post.to_owned(), read);
            }
        }
        all.push(posts);
    }
    all
}
