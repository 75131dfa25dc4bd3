//! Cases of readers of the change feed beside writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_base::ErrorKind;
use antiphon_base::task::spawn;
use antiphon_persistence::store::Offset;

use crate::Kit;
use crate::follower::{Covered, Follower};
use crate::kit::{Pen, id};

/// `changes` must never pass over a change, however slow, concurrent or interrupted the writers
/// are, and must return each event exactly once: readers follow while many writers append, some of
/// them cancelled and some refused.
pub async fn readers_amid_writers_see_every_event_once(kit: Kit) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut followers = Vec::new();
    for change_count_max in [1, 4, 1000] {
        let session = kit.other_session().await;
        let follower = Follower::new(&kit, &session, change_count_max);
        followers.push(spawn("tck", follow_until(follower, stop.clone())));
    }
    let second = kit.other_session().await;
    let mut writers = Vec::new();
    for index in 0..8 {
        let stores = if index % 2 == 0 { &kit.stores } else { &second };
        let pen = Pen::open(stores, &format!("writer-{index}")).await;
        let shared = kit.capabilities.shared_streams;
        writers.push(spawn("tck", write_a_lot(pen, index, shared)));
    }
    for writer in writers {
        writer.await.expect("writers end well");
    }
    stop.store(true, Ordering::Release);
    for follower in followers {
        let (mut follower, stations) = follower.await.expect("followers end well");
        follower.drain().await;
        follower.assert_covers_all(&kit).await;
        for (after, covered) in stations {
            let mut resumed = Follower::new(&kit, &kit.stores, 50);
            (resumed.query.after, resumed.covered) = (after, covered);
            resumed.drain().await;
            assert_eq!(
                resumed.covered, follower.covered,
                "what came late was not below a position"
            );
        }
    }
}

async fn follow_until(
    mut follower: Follower,
    stop: Arc<AtomicBool>,
) -> (Follower, Vec<(Offset, Covered)>) {
    let mut stations = Vec::new();
    while !stop.load(Ordering::Acquire) {
        if !follower.page().await.changes.is_empty() && stations.len() < 20 {
            stations.push((follower.query.after.clone(), follower.covered.clone()));
        }
        tokio::task::yield_now().await;
    }
    (follower, stations)
}

/// Appends to streams of its own and, if the store allows it, to a shared stream.
async fn write_a_lot(pen: Pen, index: u64, shared_streams: bool) {
    for round in 0..20_u64 {
        let own = id(&format!("cart|own-{index}-{}|DC-A", round % 3));
        let shared = shared_streams.then(|| id("cart|shared|DC-A"));
        for stream in [Some(own), shared].into_iter().flatten() {
            let highest = pen.journal.highest(&stream).await.expect("highest").value();
            let appending = spawn("tck", {
                let pen = pen.clone();
                async move { pen.try_append(&stream, highest, round % 3 + 1).await }
            });
            if round % 7 == 3 {
                tokio::task::yield_now().await;
                appending.abort();
            }
            match appending.await {
                Ok(Err(error)) => assert_eq!(error.kind(), ErrorKind::Fenced, "{error}"),
                Ok(Ok(())) => {}
                Err(stopped) => assert!(stopped.is_cancelled(), "{stopped}"),
            }
        }
    }
}

/// `changes` must return only durable events: every event that a page names can be replayed, in any
/// session.
pub async fn what_the_feed_names_can_be_replayed(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let writing = spawn("tck", async move {
        for number in 0..60 {
            pen.append(&id(&format!("cart|c-{}|DC-A", number % 5)), number / 5, 1).await;
        }
    });
    let reader = kit.other_session().await;
    let mut follower = Follower::new(&kit, &reader, 2);
    loop {
        let ended = writing.is_finished();
        let page = follower.page().await;
        for change in &page.changes {
            let read =
                reader.journal.replay(&change.persistence_id, change.highest, change.highest, 1);
            assert_eq!(read.await.expect("replay").len(), 1, "{change:?}");
        }
        if ended && page.changes.is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    writing.await.expect("append");
    follower.assert_covers_all(&kit).await;
}
