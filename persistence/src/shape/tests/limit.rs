//! The bound on the kinds of events that a place records.

use std::sync::Arc;

use bytes::Bytes;

use super::{account, first, payload};
use crate::ErrorKind;
use crate::memory::MemoryStores;
use crate::shape::{EVENT_KINDS_MAX, SHAPES, ShapeBook, kinds};
use crate::store::Coordination;

fn book(store: &Arc<dyn Coordination>) -> ShapeBook {
    let kinds = kinds(&Arc::new(account::<first::Event>(1)));
    ShapeBook::new(Arc::from("account"), kinds, store.clone())
}

async fn row(store: &dyn Coordination, key: &str) {
    let value = Some(Bytes::from_static(b"{}"));
    store.compare_and_set(SHAPES, key, None, value).await.unwrap();
}

#[tokio::test]
async fn manifests_that_are_made_from_data_are_refused_beyond_a_limit_and_recorded_ones_never() {
    let store = MemoryStores::new().stores().coordination;
    row(&*store, "event|another|m|1|bincode").await;
    row(&*store, "state|account||1|bincode").await;
    for number in 1..EVENT_KINDS_MAX {
        row(&*store, &format!("event|account|m|{number}|1|bincode")).await;
    }
    let running = book(&store);
    running.check("A", &*store).await.unwrap();
    running.record(false, &payload("the last one", 1)).await.unwrap();
    assert_eq!(running.admits(&payload("one more", 1)), Ok(()), "this node does not know yet");
    let error = running.record(false, &payload("one more", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);

    let restarted = book(&store);
    restarted.check("A", &*store).await.unwrap();
    for book in [running, restarted] {
        let why = book.admits(&payload("one more", 1)).unwrap_err();
        assert!(error.to_string().contains(&why), "{error}");
        for part in ["`account`", "first::Event", "\"one more\"", "1000", "`event_type`"] {
            assert!(why.contains(part), "{part}: {why}");
        }
        assert!(book.admits(&payload("m|7", 2)).is_err(), "another version is another kind");
        for manifest in ["the last one", "m|7", "Deposited"] {
            assert_eq!(book.admits(&payload(manifest, 1)), Ok(()), "{manifest}");
            book.record(false, &payload(manifest, 1)).await.unwrap();
        }
        book.record_state(&payload("", 2)).await.unwrap();
    }
}
