//! Cases of writers and seals, which make a take-over safe.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_base::ErrorKind;
use antiphon_base::task::spawn;

use crate::Kit;
use crate::kit::{Pen, assert_kind, id, numbers, seal, writer_id};

/// `append` must fail with `Rejected` when the writer was never opened.
pub async fn an_append_of_a_writer_that_was_never_opened_is_rejected(kit: Kit) {
    let pen = Pen { journal: kit.stores.journal.clone(), writer: writer_id("writer-1") };
    let id = id("cart|c-1|DC-A");
    assert_kind(pen.try_append(&id, 0, 1).await, ErrorKind::Rejected);
    assert_eq!(kit.highest(&id).await, 0);
}

/// `open_writer` must fail with `Rejected` when the writer was opened before.
pub async fn a_writer_is_opened_once(kit: Kit) {
    kit.writer("writer-1").await;
    let again = kit.stores.journal.open_writer(&writer_id("writer-1")).await;
    assert_kind(again, ErrorKind::Rejected);
    let other = kit.other_session().await;
    assert_kind(other.journal.open_writer(&writer_id("writer-1")).await, ErrorKind::Rejected);
}

/// `append` must fail with `Fenced` when the writer is sealed, and leave the stream as it was.
pub async fn an_append_of_a_sealed_writer_is_fenced(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let (written, new) = (id("cart|c-1|DC-A"), id("cart|c-2|DC-A"));
    pen.append(&written, 0, 2).await;

    seal(&*kit.stores.journal, &pen.writer).await;

    assert_kind(pen.try_append(&written, 2, 1).await, ErrorKind::Fenced);
    assert_kind(pen.try_append(&new, 0, 1).await, ErrorKind::Fenced);
    assert_eq!(numbers(&kit.replay_all(&written).await), [1, 2]);
    assert_eq!(kit.highest(&new).await, 0);
}

/// `seal` must be idempotent.
pub async fn a_seal_can_be_repeated(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    for _ in 0..3 {
        seal(&*kit.stores.journal, &pen.writer).await;
    }
    assert_kind(pen.try_append(&id("cart|c-1|DC-A"), 0, 1).await, ErrorKind::Fenced);
}

/// `seal` must also seal a writer that was never opened; `open_writer` must fail with `Rejected`
/// when the writer is sealed.
pub async fn a_writer_can_be_sealed_before_it_is_opened(kit: Kit) {
    let pen = Pen { journal: kit.stores.journal.clone(), writer: writer_id("writer-1") };
    seal(&*kit.stores.journal, &pen.writer).await;
    assert_kind(kit.stores.journal.open_writer(&pen.writer).await, ErrorKind::Rejected);
    assert_kind(pen.try_append(&id("cart|c-1|DC-A"), 0, 1).await, ErrorKind::Fenced);
}

/// A seal ends one writer: other writers go on, also with its streams.
pub async fn another_writer_takes_over_after_a_seal(kit: Kit) {
    let (old, new) = (kit.writer("writer-1").await, kit.writer("writer-2").await);
    let id = id("cart|c-1|DC-A");
    old.append(&id, 0, 2).await;
    seal(&*kit.stores.journal, &old.writer).await;
    new.append(&id, 2, 2).await;
    assert_kind(old.try_append(&id, 4, 1).await, ErrorKind::Fenced);
    assert_eq!(numbers(&kit.replay_all(&id).await), [1, 2, 3, 4]);
}

/// After `seal` has returned, no append of that writer may take effect, also when another session
/// made the seal.
pub async fn a_seal_of_another_session_holds_at_once(kit: Kit) {
    let other = kit.other_session().await;
    for round in 0..20 {
        let pen = kit.writer(&format!("writer-{round}")).await;
        let id = id(&format!("cart|c-{round}|DC-A"));
        pen.append(&id, 0, 1).await;
        seal(&*other.journal, &pen.writer).await;
        assert_kind(pen.try_append(&id, 1, 1).await, ErrorKind::Fenced);
        assert_eq!(kit.highest(&id).await, 1);
    }
}

/// After `seal` has returned, no append of that writer may take effect, however long it was under
/// way. A fenced append leaves its stream as it was, so the stream has exactly the acknowledged
/// events.
pub async fn a_seal_amid_appends_ends_them_all(kit: Kit) {
    let other = kit.other_session().await;
    for round in 0..5 {
        let pen = kit.writer(&format!("writer-{round}")).await;
        let name = move |stream: u64| id(&format!("cart|c-{round}-{stream}|DC-A"));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..16)
            .map(|stream| {
                let (pen, acknowledged) = (pen.clone(), acknowledged.clone());
                spawn("tck", append_until_fenced(pen, name(stream), acknowledged))
            })
            .collect();
        while acknowledged.load(Ordering::Relaxed) < 40 {
            tokio::task::yield_now().await;
        }

        seal(&*other.journal, &pen.writer).await;

        let mut after_seal = Vec::new();
        for stream in 0..16 {
            after_seal.push(other.journal.highest(&name(stream)).await.expect("highest").value());
        }
        for (stream, task) in (0..).zip(tasks) {
            let acknowledged = task.await.expect("the writer ends by being fenced");
            let highest = kit.highest(&name(stream)).await;
            assert_eq!(highest, after_seal[usize::try_from(stream).expect("small")]);
            assert_eq!(highest, acknowledged, "acknowledged events of stream {stream}");
        }
    }
}

async fn append_until_fenced(
    pen: Pen,
    id: antiphon_persistence::identity::PersistenceId,
    all_acknowledged: Arc<AtomicU64>,
) -> u64 {
    let mut acknowledged = 0;
    loop {
        match pen.try_append(&id, acknowledged, 2).await {
            Ok(()) => acknowledged += 2,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
                return acknowledged;
            }
        }
        all_acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// After `seal` has returned, no append of that writer may take effect, however late it was issued:
/// each of many concurrent appends is either acknowledged and stored, or fenced and not stored.
pub async fn each_append_around_a_seal_is_there_or_not(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let mut tasks = Vec::new();
    for stream in 0..300 {
        let pen = pen.clone();
        tasks.push(spawn("tck", async move {
            if stream == 150 {
                return pen.journal.seal(&pen.writer).await.map(|()| false);
            }
            let outcome = pen.try_append(&id(&format!("cart|c-{stream}|DC-A")), 0, 1).await;
            match outcome {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::Fenced => Ok(false),
                Err(error) => Err(error),
            }
        }));
    }
    for (stream, task) in tasks.into_iter().enumerate() {
        let stored = task.await.expect("no panic").expect("stored or fenced");
        let highest = kit.highest(&id(&format!("cart|c-{stream}|DC-A"))).await;
        assert_eq!(highest, u64::from(stored), "stream {stream}");
    }
}
