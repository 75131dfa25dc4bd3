//! Cases of
//! [`ReadJournal::persistence_ids`](antiphon_persistence::store::ReadJournal::persistence_ids).

use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;

use crate::Kit;
use crate::kit::id;

async fn listed(
    kit: &Kit,
    entity_type: &str,
    after: Option<&str>,
    count_max: usize,
) -> Vec<String> {
    let after: Option<PersistenceId> = after.map(id);
    let ids = kit.stores.read_journal.persistence_ids(entity_type, after.as_ref(), count_max).await;
    ids.expect("ids").iter().map(ToString::to_string).collect()
}

async fn write(kit: &Kit, names: &[&str]) {
    let pen = kit.writer("writer-1").await;
    for name in names {
        pen.append(&id(name), 0, 2).await;
    }
}

/// `persistence_ids` must return each stream of the type once, sorted by text (by the bytes of its
/// UTF-8 form).
pub async fn ids_are_sorted_by_text(kit: Kit) {
    write(
        &kit,
        &[
            "cart|b|B",
            "cart|é|A",
            "cart|a|B",
            "cart|B|A",
            "cart|a",
            "cart|a|A",
            "cart|10|A",
            "cart|9|A",
        ],
    )
    .await;
    let sorted = [
        "cart|10|A",
        "cart|9|A",
        "cart|B|A",
        "cart|a",
        "cart|a|A",
        "cart|a|B",
        "cart|b|B",
        "cart|é|A",
    ];
    assert_eq!(listed(&kit, "cart", None, 100).await, sorted);
}

/// `persistence_ids` must return streams of the type, and not of a type with a longer or shorter
/// name.
pub async fn ids_are_of_the_type_asked_for(kit: Kit) {
    write(
        &kit,
        &["cart|a|A", "carts|a|A", "car|t|A", "cart |a|A", "Cart|a|A", "c%|a|A", "c_rt|a|A"],
    )
    .await;
    assert_eq!(listed(&kit, "cart", None, 100).await, ["cart|a|A"]);
    assert_eq!(listed(&kit, "c%", None, 100).await, ["c%|a|A"]);
    assert_eq!(listed(&kit, "unknown", None, 100).await, [""; 0]);
}

/// `persistence_ids` must return ids after `after` (exclusive), at most `count_max`.
pub async fn ids_come_in_pages(kit: Kit) {
    write(&kit, &["cart|a|A", "cart|b|A", "cart|c|A", "cart|d|A", "cart|e|A"]).await;
    assert_eq!(listed(&kit, "cart", None, 2).await, ["cart|a|A", "cart|b|A"]);
    assert_eq!(listed(&kit, "cart", Some("cart|b|A"), 2).await, ["cart|c|A", "cart|d|A"]);
    assert_eq!(listed(&kit, "cart", Some("cart|d|A"), 2).await, ["cart|e|A"]);
    assert_eq!(listed(&kit, "cart", Some("cart|e|A"), 2).await, [""; 0]);
    assert_eq!(
        listed(&kit, "cart", Some("cart|b|B"), 1).await,
        ["cart|c|A"],
        "an id that does not exist"
    );
    assert_eq!(listed(&kit, "cart", None, 0).await, [""; 0]);
}

/// A stream whose events are all deleted is still a stream: its highest number is not zero.
pub async fn ids_include_streams_without_events_left(kit: Kit) {
    write(&kit, &["cart|a|A"]).await;
    kit.stores.journal.delete_to(&id("cart|a|A"), SequenceNr::MAX).await.expect("delete");
    assert_eq!(listed(&kit, "cart", None, 10).await, ["cart|a|A"]);
}
