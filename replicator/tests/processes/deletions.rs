//! Links to deletions in a category, as a real server has them: they are no events of the streams.

use antiphon_eventstore as es;

use crate::model::Model;
use crate::support::{Pair, Setup, append, count, event, pair, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_on_a_category_passes_over_the_links_to_deletions() {
    deletions_are_passed_over(|setup| {
        setup.group("$ce-order", "deletions");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catch_up_of_a_category_passes_over_the_links_to_deletions() {
    deletions_are_passed_over(|setup| {
        setup.catch_up("category", "order");
    })
    .await;
}

async fn deletions_are_passed_over(shape: impl Fn(&mut Setup)) {
    let Pair { source: _source, destination: _destination, from, to, mut setup } = pair().await;
    shape(&mut setup);
    let mut replicator = setup.start();
    for stream in ["order-soft", "order-hard"] {
        append(&from, stream, vec![event("kept")]).await;
        wait_for("the event", async || count(&to, stream).await == 1).await;
    }
    from.delete_stream("order-soft", es::ExpectedRevision::Any).await.unwrap();
    from.tombstone_stream("order-hard", es::ExpectedRevision::Any).await.unwrap();
    append(&from, "order-soft", vec![event("again")]).await;
    append(&from, "order-last", vec![event("last")]).await;
    wait_for("the event after the deletions", async || count(&to, "order-last").await == 1).await;
    wait_for("the stream goes on", async || count(&to, "order-soft").await == 2).await;

    assert_eq!(count(&to, "order-hard").await, 1);
    for stream in ["$$order-soft", "$$order-hard"] {
        assert_eq!(count(&to, stream).await, 0, "{stream}: no deletion is copied");
    }
    let parked = setup.execute(&["park", "list"]).await.1;
    assert!(parked.contains("0 events in parking lots"), "{parked}");
    replicator.stop().await;
}

/// The server hides the events of a deleted stream when it is written again, by a `$tb` of its own
/// choice: the number of events that it has then. A copy that is done again finds more events than
/// the first time.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_came_back_is_the_same_when_all_is_copied_again() {
    let Pair { source, destination, to, mut setup, .. } = pair().await;
    setup.catch_up("all", "").set("Settings__CopyStreamMetadata", "true");
    setup.set("Settings__CopyDeletes", "true");
    let mut model = Model::default();
    let append = |model: &mut Model, stream: &str, count: u64| {
        (0..count).for_each(|n| model.append(&source, stream, event(&format!("{stream} {n}"))));
    };
    for stream in ["order-event", "order-metadata", "order-twice", "order-gone"] {
        append(&mut model, stream, 5);
        model.delete(&source, stream);
    }
    append(&mut model, "order-event", 3);
    model.describe(&source, "order-metadata", r#"{"$maxCount":9}"#);
    append(&mut model, "order-metadata", 3);
    append(&mut model, "order-twice", 2);
    model.delete(&source, "order-twice");
    append(&mut model, "order-twice", 2);

    for last in ["last-1", "last-2"] {
        append(&mut model, last, 1);
        let mut replicator = setup.start();
        wait_for("everything", async || count(&to, last).await == 1).await;
        wait_for("the model", async || model.compare(&destination).await.is_ok()).await;
        replicator.stop().await;
        std::fs::remove_dir_all(setup.folder.path().join("checkpoints")).unwrap();
    }
}
