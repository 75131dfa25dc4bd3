//! Cases of the positions in the change feed.

use antiphon_base::ErrorKind;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::store::{Offset, Stores};

use crate::Kit;
use crate::follower::Follower;
use crate::kit::{assert_kind, id, nr};

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
