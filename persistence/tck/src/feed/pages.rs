//! Cases of the pages of the change feed: what a page covers, and how pages follow each other.

use antiphon_persistence::identity::{ReplicationId, SliceRange};
use antiphon_persistence::store::Offset;

use crate::Kit;
use crate::follower::{Covered, Follower};
use crate::kit::{id, nr};

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

/// A page has each stream once, at most `change_count_max` streams, and at least one if there is a
/// change, also when `change_count_max` is zero.
pub async fn a_page_of_no_stream_is_a_page_of_one(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    for stream in 0..3 {
        pen.append(&id(&format!("cart|c-{stream}|DC-A")), 0, 2).await;
    }
    let mut follower = Follower::new(&kit, &kit.stores, 0);
    let page = follower.page().await;
    assert_eq!((page.changes.len(), page.more), (1, true), "{page:?}");
    follower.drain().await;
    follower.assert_covers_all(&kit).await;
    assert_eq!(follower.covered.len(), 3);
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
