//! Cases of [`ReadJournal`](antiphon_persistence::store::ReadJournal): nothing late, nothing twice,
//! nothing left out.
//!
//! The version of each event in these cases names only that event, so the merged versions of a page
//! tell exactly its events. A store without the capability `metadata` is checked by the highest
//! numbers alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_base::ErrorKind;
use antiphon_base::task::spawn;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{ReplicationId, SliceRange};
use antiphon_persistence::store::{Offset, Stores};

use crate::Kit;
use crate::follower::{Covered, Follower};
use crate::kit::{Pen, assert_kind, id, nr};

/// `changes` from `Offset::start` must cover every event that is not deleted.
pub async fn the_feed_covers_every_event(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    for stream in 0..10 {
        for part in 0..=stream % 3 {
            pen.append(&id(&format!("cart|c-{stream}|DC-A")), part * 2, 2).await;
        }
    }
    let mut follower = Follower::new(&kit, &kit.stores, 100);
    follower.drain().await;
    follower.assert_covers_all(&kit).await;
    assert_eq!(follower.covered.len(), 10);
}

/// A page has at most `change_count_max` streams, each once; pages that follow each other have each
/// event exactly once.
pub async fn pages_follow_each_other(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    for part in 0..5 {
        for stream in 0..7 {
            pen.append(&id(&format!("cart|c-{stream}|DC-A")), part * 3, 3).await;
        }
    }
    for change_count_max in [1, 2, 3, 7, 100] {
        let mut follower = Follower::new(&kit, &kit.stores, change_count_max);
        follower.drain().await;
        follower.assert_covers_all(&kit).await;
    }
}

/// An empty journal has an empty feed, and `through` is the requested position when nothing is new.
pub async fn a_feed_without_news_stays_where_it_is(kit: Kit) {
    let mut follower = Follower::new(&kit, &kit.stores, 10);
    follower.drain().await;
    assert_eq!(follower.query.after, Offset::start());

    kit.writer("writer-1").await.append(&id("cart|c-1|DC-A"), 0, 1).await;
    follower.drain().await;
    let after = follower.query.after.clone();
    assert!(!after.is_start());
    for _ in 0..3 {
        let page = follower.page().await;
        assert_eq!((page.changes, page.through, page.more), (Vec::new(), after.clone(), false));
    }
}

/// `changes` must move `through` forward also over events that do not match, so that an idle reader
/// stays cheap.
pub async fn the_feed_passes_over_what_does_not_match(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    for stream in 0..20 {
        pen.append(&id(&format!("cart|c-{stream}|DC-A")), 0, 1).await;
    }
    let all = Follower::new(&kit, &kit.stores, 10);
    let mut other_type = all.clone();
    other_type.query.entity_type = "car".into();
    let mut other_replica = all.clone();
    other_replica.query.replica = crate::kit::replica("DC-B");
    let mut other_slices = all.clone();
    other_slices.query.slices = slices_without_carts();

    for mut follower in [other_type, other_replica, other_slices] {
        follower.drain().await;
        assert_eq!(follower.covered, Covered::new());
        assert!(!follower.query.after.is_start(), "the position must have moved");
        let page = follower.page().await;
        assert_eq!((page.through, page.more), (follower.query.after, false));
    }
}

/// A range of slices without the entities `c-0` to `c-19`.
fn slices_without_carts() -> SliceRange {
    let used = |slice| {
        (0..20).any(|i| {
            let id = ReplicationId::parse(&format!("cart|c-{i}")).expect("allowed");
            id.slice().number() == slice
        })
    };
    let free = (0..1024).find(|slice| !used(*slice)).expect("20 entities leave slices free");
    SliceRange::new(free, free + 1).expect("one slice")
}

/// `changes` returns streams of the type and the replica whose entity has one of the slices: the
/// parts of the feed add up to the whole feed.
pub async fn the_feeds_of_parts_add_up(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    for stream in 0..40 {
        for name in [
            format!("cart|c-{stream}|DC-A"),
            format!("cart|c-{stream}|DC-B"),
            format!("cart|c-{stream}"),
            format!("carts|c-{stream}|DC-A"),
        ] {
            pen.append(&id(&name), 0, 2).await;
        }
    }
    let mut together = Covered::new();
    for part in 0..4 {
        let mut follower = Follower::new(&kit, &kit.stores, 3);
        follower.query.slices = SliceRange::part(part, 4);
        follower.drain().await;
        for (id, numbers) in follower.covered {
            let slice = ReplicationId::parse(id.as_str()).expect("parsed before").slice();
            assert!(follower.query.slices.contains(slice), "{id} has slice {slice:?}");
            assert!(together.insert(id, numbers).is_none(), "a stream in two parts");
        }
    }
    let mut whole = Follower::new(&kit, &kit.stores, 1000);
    whole.drain().await;
    assert_eq!(together, whole.covered);
    assert_eq!(whole.covered.len(), 40);
    whole.query.replica = antiphon_persistence::identity::ReplicaId::empty();
    (whole.query.after, whole.covered) = (Offset::start(), Covered::new());
    whole.drain().await;
    assert_eq!(whole.covered.len(), 40, "streams from before replication");
}

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

/// `changes` must fail with `Rejected` when the offset is not one of this store.
pub async fn an_offset_of_another_store_is_rejected(kit: Kit) {
    kit.writer("writer-1").await.append(&id("cart|c-1|DC-A"), 0, 1).await;
    for text in ["no offset", "-1", "1.5", "99999999999999999999999999", "{}", " 1"] {
        let mut follower = Follower::new(&kit, &kit.stores, 10);
        follower.query.after = Offset::new(text);
        let outcome = kit.stores.read_journal.changes(&follower.query).await;
        assert_kind(outcome, ErrorKind::Rejected);
    }
}

/// `changes` from the start must cover every event that is not deleted. Deleted events may be left
/// out; other events may not, also when they were appended together with deleted ones.
pub async fn deleted_events_do_not_hide_others_from_the_feed(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let names = ["cart|c-1|DC-A", "cart|c-2|DC-A", "cart|c-3|DC-A"];
    for part in 0..3 {
        for name in names {
            pen.append(&id(name), part * 5, 5).await;
        }
    }
    let mut early = Follower::new(&kit, &kit.stores, 2);
    early.page().await;
    for (name, last) in [(names[0], 7), (names[1], 15), (names[2], 5)] {
        kit.stores.journal.delete_to(&id(name), nr(last)).await.expect("delete");
    }
    pen.append(&id(names[1]), 15, 1).await;

    let mut late = Follower::new(&kit, &kit.stores, 2);
    late.gaps_allowed = true;
    early.gaps_allowed = true;
    for follower in [&mut late, &mut early] {
        follower.drain().await;
        follower.assert_covers_all(&kit).await;
    }
}

/// Nothing may appear later at or below a `through` that was returned: positions are not used again
/// after deletions, also after reopening.
pub async fn positions_are_never_used_again(kit: Kit) {
    let first = id("cart|c-1|DC-A");
    let pen = kit.writer("writer-1").await;
    pen.append(&first, 0, 3).await;
    let mut follower = Follower::new(&kit, &kit.stores, 10);
    follower.drain().await;
    let (after, covered) = (follower.query.after.clone(), follower.covered.clone());
    kit.stores.journal.delete_to(&first, SequenceNr::MAX).await.expect("delete");
    drop((pen, follower));

    let kit = if kit.capabilities.reopens { kit.reopen().await } else { kit };

    let mut follower = Follower::new(&kit, &kit.stores, 10);
    (follower.query.after, follower.covered) = (after, covered);
    follower.drain().await;
    let pen = kit.writer("writer-2").await;
    pen.append(&first, 3, 1).await;
    pen.append(&id("cart|c-2|DC-A"), 0, 1).await;
    follower.drain().await;
    follower.assert_covers_all(&kit).await;
    assert_eq!(follower.covered.len(), 2);
}

/// A position of a history that was lost must begin anew: the store went back to an earlier copy,
/// and new events take the positions of the lost ones. No new event may be passed over, and a
/// position beyond the end is no error.
pub async fn a_position_of_a_history_that_was_lost_begins_anew(kit: Kit) {
    if !kit.can(kit.capabilities.goes_back, "goes_back") {
        return;
    }
    let pen = kit.writer("writer-1").await;
    for stream in 1..=3 {
        pen.append(&id(&format!("cart|c-{stream}|DC-A")), 0, 2).await;
    }
    kit.keep().await;
    for number in 2..8 {
        pen.append(&id("cart|c-1|DC-A"), number, 1).await;
    }
    let mut follower = Follower::new(&kit, &kit.stores, 10);
    let mut positions = Vec::new();
    follower.drain().await;
    positions.push(follower.query.after.clone());
    pen.append(&id("cart|c-1|DC-A"), 8, 1).await;
    follower.drain().await;
    positions.push(follower.query.after.clone());
    drop((pen, follower));

    let kit = kit.go_back().await;
    let pen = kit.writer("writer-2").await;
    for number in 2..12 {
        let other = id("cart|c-2|DC-A");
        pen.append(&other, number, 1).await;
        for after in &positions {
            let mut query = Follower::new(&kit, &kit.stores, 10).query;
            query.after = after.clone();
            let mut highest = SequenceNr::ZERO;
            loop {
                let page = kit.stores.read_journal.changes(&query).await.expect("changes");
                let named = page.changes.iter().filter(|change| change.persistence_id == other);
                highest = named.map(|change| change.highest).fold(highest, SequenceNr::max);
                if page.changes.is_empty() && !page.more {
                    break;
                }
                query.after = page.through;
            }
            assert_eq!(highest, nr(number + 1), "after {after}");
        }
    }
}

/// A position is good in every session of the place.
pub async fn a_position_is_good_in_another_session(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let mut sessions: Vec<Stores> = Vec::new();
    for _ in 0..2 {
        sessions.push(kit.other_session().await);
    }
    let mut follower = Follower::new(&kit, &kit.stores, 10);
    for number in 0..20 {
        pen.append(&id("cart|c-1|DC-A"), number, 1).await;
        follower.read_journal = sessions[number as usize % 2].read_journal.clone();
        let page = follower.page().await;
        assert_eq!(page.changes.len(), 1, "an acknowledged append is in the feed at once");
    }
    follower.assert_covers_all(&kit).await;
}
