//! Cases of [`Journal::append`](antiphon_persistence::store::Journal::append): order, atomicity,
//! races.

use antiphon_base::ErrorKind;
use antiphon_base::task::spawn;

use crate::Kit;
use crate::kit::{Pen, assert_kind, event, events, id, nr, numbers, replay_all, writer_id};

/// `append` must fail with `Fenced` when the stream's highest number is not `expected`, and leave
/// the stream as it was.
pub async fn an_append_after_a_lower_number_is_fenced(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let id = id("cart|c-1|DC-A");
    pen.append(&id, 0, 3).await;

    for expected in 0..3 {
        assert_kind(pen.try_append(&id, expected, 2).await, ErrorKind::Fenced);
    }

    assert_eq!(numbers(&kit.replay_all(&id).await), [1, 2, 3]);
}

/// `append` must fail with `Fenced` when the stream's highest number is not `expected`: a hole is
/// as wrong as an overlap.
pub async fn an_append_after_a_higher_number_is_fenced(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let id = id("cart|c-1|DC-A");
    assert_kind(pen.try_append(&id, 1, 1).await, ErrorKind::Fenced);
    pen.append(&id, 0, 1).await;
    assert_kind(pen.try_append(&id, 2, 1).await, ErrorKind::Fenced);
    assert_kind(pen.try_append(&id, u64::MAX / 2, 1).await, ErrorKind::Fenced);
    assert_eq!(kit.highest(&id).await, 1);
}

/// At least one event, numbered `expected + 1` and on, dense: anything else is `Rejected`, and
/// leaves the stream as it was.
pub async fn events_that_are_not_dense_are_rejected(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let id = id("cart|c-1|DC-A");
    pen.append(&id, 0, 1).await;
    for wrong in
        [vec![], vec![event(1)], vec![event(3)], vec![event(2), event(2)], vec![event(2), event(4)]]
    {
        let outcome = pen.try_append_events(&id, 1, wrong).await;
        assert_kind(outcome, ErrorKind::Rejected);
    }
    assert_eq!(numbers(&kit.replay_all(&id).await), [1]);
    pen.append(&id, 1, 1).await;
}

/// A refused append must not disturb others that are under way at the same time.
pub async fn a_refused_append_does_not_fail_others(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let stranger = Pen { writer: writer_id("never-opened"), ..pen.clone() };
    let mut tasks = Vec::new();
    for index in 0..200_u64 {
        let (pen, stranger) = (pen.clone(), stranger.clone());
        tasks.push(spawn("tck", async move {
            let id = id(&format!("cart|c-{index}|DC-A"));
            match index % 3 {
                0 => drop(assert_kind(stranger.try_append(&id, 0, 2).await, ErrorKind::Rejected)),
                1 => drop(assert_kind(pen.try_append(&id, 5, 2).await, ErrorKind::Fenced)),
                _ => pen.append(&id, 0, 2).await,
            }
        }));
    }
    for task in tasks {
        task.await.expect("no append ends as it should not");
    }
    for index in 0..200 {
        let highest = kit.highest(&id(&format!("cart|c-{index}|DC-A"))).await;
        assert_eq!(highest, if index % 3 == 2 { 2 } else { 0 }, "stream {index}");
    }
}

/// `append` must be atomic: of two appends that expect the same number, exactly one succeeds.
pub async fn of_two_appends_after_one_number_one_wins(kit: Kit) {
    if !kit.can(kit.capabilities.shared_streams, "shared_streams") {
        return;
    }
    let first = kit.writer("writer-1").await;
    let second = Pen::open(&kit.other_session().await, "writer-2").await;
    let id = id("cart|c-1|DC-A");
    let mut highest = 0;
    for round in 0..30 {
        let (one, two) = (5 + round % 3, 2 + round % 2);
        let (a, b) =
            tokio::join!(first.try_append(&id, highest, one), second.try_append(&id, highest, two));
        highest += match (a, b) {
            (Ok(()), Err(error)) if error.kind() == ErrorKind::Fenced => one,
            (Err(error), Ok(())) if error.kind() == ErrorKind::Fenced => two,
            other => panic!("expected one winner and one fenced, actual {other:?}"),
        };
        assert_eq!(kit.highest(&id).await, highest);
    }
    kit.assert_same(&kit.replay_all(&id).await, &events(1, highest));
}

/// `append` must be atomic: all events of the call are stored, or none, for every reader.
pub async fn readers_never_see_a_part_of_an_append(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let id = id("cart|c-1|DC-A");
    let writing = spawn("tck", {
        let id = id.clone();
        async move {
            for part in 0..40 {
                pen.append(&id, part * 10, 10).await;
            }
        }
    });
    let reader = kit.other_session().await;
    while !writing.is_finished() {
        let highest = reader.journal.highest(&id).await.expect("highest").value();
        assert_eq!(highest % 10, 0, "highest {highest}");
        let first = highest.saturating_sub(20) + 1;
        let read = reader.journal.replay(&id, nr(first), nr(u64::MAX), 1000).await;
        assert_eq!(read.expect("replay").len() % 10, 0);
        tokio::task::yield_now().await;
    }
    writing.await.expect("every append succeeds");
    assert_eq!(kit.highest(&id).await, 400);
}

/// `append` must not return `Ok` before the events are stored: the next call in any session sees
/// them.
pub async fn an_acknowledged_append_is_seen_at_once(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let other = kit.other_session().await;
    let id = id("cart|c-1|DC-A");
    for number in 1..=50 {
        pen.append(&id, number - 1, 1).await;
        assert_eq!(other.journal.highest(&id).await.expect("highest").value(), number);
        let read = other.journal.replay(&id, nr(number), nr(number), 1).await;
        kit.assert_same(&read.expect("replay"), &[event(number)]);
    }
}

/// Concurrent calls are grouped by the store where that helps: a thousand at once all succeed.
pub async fn a_thousand_appends_at_once_all_succeed(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let mut tasks = Vec::new();
    for index in 0..1000 {
        let pen = pen.clone();
        tasks.push(spawn("tck", async move {
            let id = id(&format!("cart|c-{index}|DC-A"));
            pen.append(&id, 0, 1).await;
            pen.append(&id, 1, 2).await;
        }));
    }
    for task in tasks {
        task.await.expect("every append succeeds");
    }
    for index in 0..1000 {
        let id = id(&format!("cart|c-{index}|DC-A"));
        kit.assert_same(&kit.replay_all(&id).await, &events(1, 3));
    }
}

/// Writers of two sessions that take turns, and race, on the same streams lose no event and store
/// none twice.
pub async fn two_sessions_can_write_the_same_streams(kit: Kit) {
    if !kit.can(kit.capabilities.shared_streams, "shared_streams") {
        return;
    }
    let first = kit.writer("writer-1").await;
    let second = Pen::open(&kit.other_session().await, "writer-2").await;
    let mut tasks = Vec::new();
    for (pen, stream) in (0..8).map(|i| (if i % 2 == 0 { &first } else { &second }, i / 2)) {
        let (pen, id) = (pen.clone(), id(&format!("cart|c-{stream}|DC-A")));
        tasks.push(spawn("tck", async move {
            let mut acknowledged = 0;
            while acknowledged < 15 {
                let highest = pen.journal.highest(&id).await.expect("highest").value();
                match pen.try_append(&id, highest, 1).await {
                    Ok(()) => acknowledged += 1,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Fenced, "{error}"),
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("each writer gets its turns");
    }
    for stream in 0..4 {
        let id = id(&format!("cart|c-{stream}|DC-A"));
        kit.assert_same(&kit.replay_all(&id).await, &events(1, 30));
    }
}

/// A stream may move from one open writer to another and back, as at a planned hand-off: the next
/// writer reads the stream to its end, and goes on.
pub async fn a_stream_moves_between_open_writers(kit: Kit) {
    let pens = [
        kit.writer("writer-1").await,
        Pen::open(&kit.other_session().await, "writer-2").await,
        Pen::open(&kit.other_session().await, "writer-3").await,
    ];
    let ids: Vec<_> = (0..4).map(|stream| id(&format!("cart|c-{stream}|DC-A"))).collect();
    let mut highest = 0;
    for turn in 0..12 {
        let pen = &pens[turn % pens.len()];
        for id in &ids {
            // as a recovering entity does
            let read = replay_all(&*pen.journal, id).await;
            kit.assert_same(&read, &events(1, highest));
            pen.append(id, highest, 2).await;
            pen.append(id, highest + 2, 1).await;
        }
        highest += 3;
    }
    for id in &ids {
        for pen in &pens {
            assert_eq!(pen.journal.highest(id).await.expect("highest").value(), highest);
        }
    }
}

/// A cancelled (dropped) `append` may or may not take effect, but never in part, and the stream
/// goes on.
pub async fn a_cancelled_append_takes_effect_as_a_whole_or_not(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    for index in 0..20 {
        let id = id(&format!("cart|c-{index}|DC-A"));
        let task = spawn("tck", {
            let (pen, id) = (pen.clone(), id.clone());
            async move { pen.try_append(&id, 0, 5).await }
        });
        for _ in 0..index {
            tokio::task::yield_now().await;
        }
        task.abort();
        drop(task.await);
        loop {
            let highest = kit.highest(&id).await;
            assert!(highest == 0 || highest == 5, "highest {highest}");
            match pen.try_append(&id, highest, 1).await {
                Ok(()) => break assert_eq!(kit.highest(&id).await, highest + 1),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Fenced, "{error}"),
            }
        }
    }
}
