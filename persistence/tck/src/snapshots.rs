//! Cases of [`SnapshotStore`](antiphon_persistence::store::SnapshotStore). Most start with
//! snapshots at 11 to 15.

use antiphon_base::ErrorKind;
use antiphon_base::task::spawn;
use antiphon_persistence::event::{Metadata, SequenceNr};
use antiphon_persistence::store::Snapshot;

use crate::kit::{assert_kind, id, nr};
use crate::{Generator, Kit};

const NAME: &str = "cart|c-1|DC-A";

async fn five_snapshots(kit: &Kit) -> Vec<Snapshot> {
    let mut random = Generator::new(4);
    let snapshots: Vec<_> = (11..=15).map(|number| random.snapshot(nr(number), 1000)).collect();
    for snapshot in &snapshots {
        save(kit, snapshot).await;
    }
    snapshots
}

async fn save(kit: &Kit, snapshot: &Snapshot) {
    kit.stores.snapshots.save_snapshot(&id(NAME), snapshot).await.expect("save");
}

async fn latest(kit: &Kit, last: SequenceNr) -> Option<Snapshot> {
    kit.stores.snapshots.latest_snapshot(&id(NAME), last).await.expect("load")
}

async fn delete_to(kit: &Kit, last: SequenceNr) {
    kit.stores.snapshots.delete_snapshots_to(&id(NAME), last).await.expect("delete");
}

/// `latest_snapshot` must return `None` for a stream without snapshots.
pub async fn an_unknown_stream_has_no_snapshot(kit: Kit) {
    five_snapshots(&kit).await;
    let other = kit.stores.snapshots.latest_snapshot(&id("cart|c-2|DC-A"), SequenceNr::MAX).await;
    assert_eq!(other.expect("load"), None);
}

/// `latest_snapshot` must return the snapshot with the highest number.
pub async fn the_newest_snapshot_is_found(kit: Kit) {
    let all = five_snapshots(&kit).await;
    assert_eq!(latest(&kit, SequenceNr::MAX).await.as_ref(), Some(&all[4]));
}

/// `latest_snapshot` must return the snapshot with the highest number that is at most `last`.
pub async fn the_newest_snapshot_up_to_a_number_is_found(kit: Kit) {
    let all = five_snapshots(&kit).await;
    assert_eq!(latest(&kit, nr(13)).await.as_ref(), Some(&all[2]));
    assert_eq!(latest(&kit, nr(11)).await.as_ref(), Some(&all[0]));
    assert_eq!(latest(&kit, nr(14)).await.as_ref(), Some(&all[3]));
}

/// `latest_snapshot` must return `None` when all snapshots are newer than `last`.
pub async fn no_snapshot_before_the_first_is_found(kit: Kit) {
    five_snapshots(&kit).await;
    assert_eq!(latest(&kit, nr(10)).await, None);
    assert_eq!(latest(&kit, nr(0)).await, None);
}

/// `save_snapshot` must replace a snapshot with the same stream and number.
pub async fn a_snapshot_with_the_same_number_is_replaced(kit: Kit) {
    let all = five_snapshots(&kit).await;
    let other = Generator::new(5).snapshot(nr(13), 1000);
    assert_ne!(other, all[2]);
    save(&kit, &other).await;
    assert_eq!(latest(&kit, nr(13)).await, Some(other));
    assert_eq!(latest(&kit, nr(12)).await.as_ref(), Some(&all[1]));
}

/// A snapshot must be read back equal, to the bit: with its metadata too, from the smallest to the
/// largest.
pub async fn the_metadata_of_a_snapshot_is_read_back(kit: Kit) {
    let plain = five_snapshots(&kit).await.swap_remove(4);
    let entry = |value: &str| Metadata::new().with("correlation-id", value).expect("one entry");
    for metadata in
        [Metadata::new(), entry(""), entry("order-7 \u{2603}"), entry(&"x".repeat(4000))]
    {
        let snapshot = Snapshot { metadata, ..plain.clone() };
        save(&kit, &snapshot).await;
        assert_eq!(latest(&kit, SequenceNr::MAX).await, Some(snapshot));
    }
}

/// `latest_snapshot` goes by number, not by the order of the saves.
pub async fn snapshots_go_by_number_not_by_age(kit: Kit) {
    let all = five_snapshots(&kit).await;
    save(&kit, &Generator::new(6).snapshot(nr(3), 10)).await;
    assert_eq!(latest(&kit, SequenceNr::MAX).await.as_ref(), Some(&all[4]));
}

/// `delete_snapshots_to` must delete the snapshots with numbers up to and including `last`, and no
/// other.
pub async fn snapshots_are_deleted_up_to_a_number(kit: Kit) {
    let all = five_snapshots(&kit).await;
    let other = Generator::new(7).snapshot(nr(11), 100);
    kit.stores.snapshots.save_snapshot(&id("cart|c-2|DC-A"), &other).await.expect("save");

    delete_to(&kit, nr(13)).await;

    assert_eq!(latest(&kit, nr(13)).await, None);
    assert_eq!(latest(&kit, nr(14)).await.as_ref(), Some(&all[3]));
    assert_eq!(latest(&kit, SequenceNr::MAX).await.as_ref(), Some(&all[4]));
    let kept = kit.stores.snapshots.latest_snapshot(&id("cart|c-2|DC-A"), SequenceNr::MAX).await;
    assert_eq!(kept.expect("load"), Some(other));
}

/// `delete_snapshots_to` is idempotent; all snapshots can be deleted, and saved again.
pub async fn all_snapshots_can_be_deleted_again_and_again(kit: Kit) {
    let all = five_snapshots(&kit).await;
    for last in [SequenceNr::MAX, SequenceNr::MAX, nr(0), nr(12)] {
        delete_to(&kit, last).await;
        assert_eq!(latest(&kit, SequenceNr::MAX).await, None);
    }
    save(&kit, &all[1]).await;
    assert_eq!(latest(&kit, SequenceNr::MAX).await.as_ref(), Some(&all[1]));
}

/// A snapshot must be read back equal, to the bit: random ones, an empty one and the largest.
pub async fn snapshots_are_read_back_to_the_bit(kit: Kit) {
    let mut random = Generator::new(8);
    for number in 1..=60 {
        let snapshot = random.snapshot(nr(number), 20_000);
        save(&kit, &snapshot).await;
        assert_eq!(latest(&kit, nr(number)).await, Some(snapshot));
    }
    for bytes in [0, kit.capabilities.payload_bytes_max] {
        let mut snapshot = random.snapshot(nr(99), 10);
        snapshot.state.bytes = random.bytes(bytes);
        save(&kit, &snapshot).await;
        assert_eq!(latest(&kit, nr(99)).await, Some(snapshot));
    }
}

/// `save_snapshot` must fail with `Rejected`, and store nothing, when the state is over its limit.
pub async fn a_snapshot_over_its_limit_is_rejected_and_not_stored(kit: Kit) {
    let mut snapshot = Generator::new(10).snapshot(nr(1), 10);
    snapshot.state.bytes = vec![0; kit.stores.journal.limits().snapshot_bytes_max + 1].into();
    let outcome = kit.stores.snapshots.save_snapshot(&id(NAME), &snapshot).await;
    assert_kind(outcome, ErrorKind::Rejected);
    assert_eq!(latest(&kit, SequenceNr::MAX).await, None);
}

/// Snapshots of many streams that are saved at once are all readable, in every session.
pub async fn many_snapshots_can_be_saved_at_once(kit: Kit) {
    let mut random = Generator::new(9);
    let mut tasks = Vec::new();
    let mut saved = Vec::new();
    for stream in 0..100 {
        let (id, snapshot) =
            (id(&format!("cart|c-{stream}|DC-A")), random.snapshot(nr(stream + 1), 500));
        saved.push((id.clone(), snapshot.clone()));
        let store = kit.stores.snapshots.clone();
        tasks.push(spawn("tck", async move { store.save_snapshot(&id, &snapshot).await }));
    }
    for task in tasks {
        task.await.expect("no panic").expect("save");
    }
    let other = kit.other_session().await;
    for (id, snapshot) in saved {
        let read = other.snapshots.latest_snapshot(&id, SequenceNr::MAX).await.expect("load");
        assert_eq!(read, Some(snapshot));
    }
}
