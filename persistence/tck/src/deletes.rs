//! Cases of [`Journal::delete_to`](antiphon_persistence::store::Journal::delete_to).

use antiphon_base::ErrorKind;
use antiphon_persistence::event::SequenceNr;

use crate::Kit;
use crate::kit::{assert_kind, events, id, nr, numbers};

async fn delete_to(kit: &Kit, name: &str, last: SequenceNr) {
    kit.stores.journal.delete_to(&id(name), last).await.expect("delete");
}

const NAME: &str = "cart|c-1|DC-A";

/// `replay` must not return deleted events; it starts after them.
pub async fn deleted_events_are_not_replayed(kit: Kit) {
    kit.writer("writer-1").await.append(&id(NAME), 0, 5).await;
    delete_to(&kit, NAME, nr(3)).await;
    assert_eq!(numbers(&kit.replay_all(&id(NAME)).await), [4, 5]);
    let read = kit.stores.journal.replay(&id(NAME), nr(2), nr(4), 100).await.expect("replay");
    kit.assert_same(&read, &events(4, 1));
    let read = kit.stores.journal.replay(&id(NAME), nr(1), SequenceNr::MAX, 1).await;
    assert_eq!(numbers(&read.expect("replay")), [4]);
}

/// `highest` must include deleted events: deleting never resets it.
pub async fn deleting_does_not_reset_the_highest_number(kit: Kit) {
    kit.writer("writer-1").await.append(&id(NAME), 0, 5).await;
    delete_to(&kit, NAME, nr(3)).await;
    assert_eq!(kit.highest(&id(NAME)).await, 5);
}

/// `delete_to` must also accept a number above the highest: all events that exist now are deleted;
/// later ones are not.
pub async fn deleting_everything_keeps_the_highest_number(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    pen.append(&id(NAME), 0, 5).await;
    delete_to(&kit, NAME, SequenceNr::MAX).await;
    assert_eq!(kit.highest(&id(NAME)).await, 5);
    assert_eq!(kit.replay_all(&id(NAME)).await, []);

    assert_kind(pen.try_append(&id(NAME), 0, 1).await, ErrorKind::Fenced);
    pen.append(&id(NAME), 5, 2).await;
    assert_eq!(numbers(&kit.replay_all(&id(NAME)).await), [6, 7]);
}

/// `delete_to` must be idempotent.
pub async fn deleting_can_be_repeated(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    pen.append(&id(NAME), 0, 5).await;
    for last in [3, 3, 1, 0, 3] {
        delete_to(&kit, NAME, nr(last)).await;
        assert_eq!(numbers(&kit.replay_all(&id(NAME)).await), [4, 5], "after delete to {last}");
    }
    pen.append(&id(NAME), 5, 1).await;
    delete_to(&kit, NAME, nr(4)).await;
    assert_eq!(numbers(&kit.replay_all(&id(NAME)).await), [5, 6]);
}

/// All events that exist now are deleted: an unknown stream has no events, so nothing changes.
pub async fn deleting_an_unknown_stream_changes_nothing(kit: Kit) {
    delete_to(&kit, NAME, nr(10)).await;
    assert_eq!(kit.highest(&id(NAME)).await, 0);
    let all = kit.stores.read_journal.persistence_ids("cart", None, 10).await.expect("ids");
    assert_eq!(all, []);
    kit.writer("writer-1").await.append(&id(NAME), 0, 2).await;
    assert_eq!(numbers(&kit.replay_all(&id(NAME)).await), [1, 2]);
}

/// Deleting goes by event, also within an append, and affects one stream only.
pub async fn deleting_may_end_within_an_append(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let other = id("cart|c-2|DC-A");
    for part in 0..4 {
        pen.append(&id(NAME), part * 10, 10).await;
        pen.append(&other, part * 10, 10).await;
    }
    for last in [4, 17, 20, 39] {
        delete_to(&kit, NAME, nr(last)).await;
        assert_eq!(numbers(&kit.replay_all(&id(NAME)).await), (last + 1..=40).collect::<Vec<_>>());
        assert_eq!(kit.highest(&id(NAME)).await, 40);
    }
    kit.assert_same(&kit.replay_all(&other).await, &events(1, 40));
}

/// A stream whose events are deleted while it is written loses none of its other events.
pub async fn deleting_while_writing_loses_nothing(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let other = kit.other_session().await;
    for part in 0..20_u64 {
        let last = nr(part * 5);
        let stream = id(NAME);
        let (appended, deleted) = tokio::join!(
            pen.try_append(&stream, part * 5, 5),
            other.journal.delete_to(&stream, last)
        );
        appended.expect("append");
        deleted.expect("delete");
        let left: Vec<u64> = (part * 5 + 1..=part * 5 + 5).collect();
        assert_eq!(numbers(&kit.replay_all(&id(NAME)).await), left);
    }
}
