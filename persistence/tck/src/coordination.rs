//! Cases of `Coordination`: compare-and-set and fencing.

use std::sync::Arc;

use antiphon_base::task::spawn;
use antiphon_persistence::store::{
    CasOutcome, Coordination, FencedOutcome, FencingToken, Row, RowVersion, TableRows,
};
use bytes::Bytes;

use crate::Kit;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn row(key: &str, version: RowVersion, value: &str) -> Row {
    Row { key: key.into(), version, value: bytes(value) }
}

async fn cas(
    kit: &Kit,
    key: &str,
    expected: Option<RowVersion>,
    value: Option<&str>,
) -> CasOutcome {
    let value = value.map(bytes);
    kit.stores.coordination.compare_and_set("members", key, expected, value).await.expect("cas")
}

async fn read(kit: &Kit, key: &str) -> Option<Row> {
    kit.stores.coordination.read("members", key).await.expect("read")
}

async fn scan(kit: &Kit) -> TableRows {
    kit.stores.coordination.scan("members").await.expect("scan")
}

async fn put(kit: &Kit, token: u64, rows: &[(&str, Option<&str>)]) -> FencedOutcome {
    let rows: Vec<(Arc<str>, Option<Bytes>)> =
        rows.iter().map(|(key, value)| ((*key).into(), value.map(bytes))).collect();
    let token = FencingToken(token);
    kit.stores.coordination.put_fenced("members", token, &rows).await.expect("put")
}

/// `compare_and_set` must create a row, with version one, only if there is none, and must return
/// the row that is there otherwise.
pub async fn a_row_is_created_only_if_there_is_none(kit: Kit) {
    assert_eq!(cas(&kit, "n-1", None, Some("a")).await, CasOutcome::Applied(1));
    let conflict = CasOutcome::Conflict(Some(row("n-1", 1, "a")));
    assert_eq!(cas(&kit, "n-1", None, Some("b")).await, conflict);
    assert_eq!(read(&kit, "n-1").await, Some(row("n-1", 1, "a")));
}

/// `compare_and_set` must change the row only if its version is `expected`; the version is one more
/// at each change.
pub async fn a_row_is_changed_only_in_the_expected_version(kit: Kit) {
    cas(&kit, "n-1", None, Some("a")).await;
    assert_eq!(cas(&kit, "n-1", Some(1), Some("b")).await, CasOutcome::Applied(2));
    let now = Some(row("n-1", 2, "b"));
    for wrong in [0, 1, 3] {
        let outcome = cas(&kit, "n-1", Some(wrong), Some("c")).await;
        assert_eq!(outcome, CasOutcome::Conflict(now.clone()), "expected {wrong}");
    }
    assert_eq!(read(&kit, "n-1").await, now);
    assert_eq!(cas(&kit, "n-2", Some(1), Some("x")).await, CasOutcome::Conflict(None));
    assert_eq!(read(&kit, "n-2").await, None);
}

/// A `value` of `None` must delete the row, under the same condition; the version starts anew after
/// a deletion.
pub async fn a_row_is_deleted_only_in_the_expected_version(kit: Kit) {
    cas(&kit, "n-1", None, Some("a")).await;
    cas(&kit, "n-1", Some(1), Some("b")).await;
    let conflict = CasOutcome::Conflict(Some(row("n-1", 2, "b")));
    assert_eq!(cas(&kit, "n-1", Some(1), None).await, conflict);
    assert_eq!(cas(&kit, "n-1", Some(2), None).await, CasOutcome::Applied(0));
    assert_eq!(read(&kit, "n-1").await, None);
    assert_eq!(cas(&kit, "n-1", Some(2), None).await, CasOutcome::Conflict(None));
    assert_eq!(cas(&kit, "n-1", None, None).await, CasOutcome::Applied(0), "no row, as expected");
    assert_eq!(cas(&kit, "n-1", None, Some("c")).await, CasOutcome::Applied(1));
}

/// `compare_and_set` must be atomic with respect to every other call on that row: none of many
/// increments gets lost.
pub async fn concurrent_changes_of_a_row_are_one_after_the_other(kit: Kit) {
    let other = kit.other_session().await;
    let mut tasks = Vec::new();
    for index in 0..8 {
        let store = if index % 2 == 0 { &kit.stores } else { &other }.coordination.clone();
        tasks.push(spawn("tck", async move {
            for _ in 0..10 {
                increment(&*store).await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(read(&kit, "counter").await, Some(row("counter", 80, "80")));
}

async fn increment(store: &dyn Coordination) {
    let mut now = store.read("members", "counter").await.expect("read");
    loop {
        let value = now.as_ref().map_or(0, |row| {
            std::str::from_utf8(&row.value).expect("text").parse::<u64>().expect("number")
        });
        let (version, value) = (now.map(|row| row.version), bytes(&(value + 1).to_string()));
        match store.compare_and_set("members", "counter", version, Some(value)).await.expect("cas")
        {
            CasOutcome::Applied(_) => return,
            CasOutcome::Conflict(row) => now = row,
        }
    }
}

/// `scan` must see every change that returned before it was called, and must return the rows sorted
/// by key; tables are apart.
pub async fn a_scan_sees_all_rows_in_order(kit: Kit) {
    assert_eq!(scan(&kit).await, TableRows::default(), "a table exists as soon as it is named");
    let other = kit.other_session().await;
    let keys = ["b", "10", "é", "a", "B", "9", "", "a b%_'", "zz"];
    for key in keys {
        cas(&kit, key, None, Some(key)).await;
        let seen = other.coordination.scan("members").await.expect("scan");
        assert!(seen.rows.contains(&row(key, 1, key)), "{key}: {seen:?}");
    }
    let elsewhere =
        kit.stores.coordination.compare_and_set("member", "s", None, Some(bytes("x"))).await;
    elsewhere.expect("cas");
    let mut sorted = keys;
    sorted.sort_unstable();
    assert_eq!(scan(&kit).await.rows, sorted.map(|key| row(key, 1, key)));
}

/// Values are read back to the bit: empty, and with any byte.
pub async fn values_are_read_back_to_the_bit(kit: Kit) {
    let store = &kit.stores.coordination;
    for (key, value) in
        [("empty", Bytes::new()), ("all", (0..=255).collect()), ("long", vec![7; 100_000].into())]
    {
        store.compare_and_set("members", key, None, Some(value.clone())).await.expect("cas");
        let expected = Some(Row { key: key.into(), version: 1, value });
        assert_eq!(read(&kit, key).await, expected);
    }
}

/// `raise_token` must set the token to `token` if that is higher than the table's, and return the
/// table's token afterwards.
pub async fn a_token_only_grows(kit: Kit) {
    let store = &kit.stores.coordination;
    for (raise, now) in [(0, 0), (3, 3), (2, 3), (3, 3), (10, 10), (0, 10)] {
        let token = store.raise_token("members", FencingToken(raise)).await.expect("raise");
        assert_eq!(token, FencingToken(now));
        assert_eq!(scan(&kit).await.token, FencingToken(now));
    }
    assert_eq!(store.scan("other").await.expect("scan").token, FencingToken(0), "by table");
}

/// `put_fenced` must be refused when the table's token is higher than `token`, atomically with the
/// write; it raises a lower one.
pub async fn a_fenced_write_needs_the_newest_token(kit: Kit) {
    assert_eq!(put(&kit, 5, &[("s-1", Some("a"))]).await, FencedOutcome::Applied);
    assert_eq!(scan(&kit).await.token, FencingToken(5));
    assert_eq!(put(&kit, 4, &[("s-1", Some("b"))]).await, FencedOutcome::Refused(FencingToken(5)));
    assert_eq!(read(&kit, "s-1").await, Some(row("s-1", 1, "a")));
    assert_eq!(put(&kit, 5, &[("s-1", Some("c"))]).await, FencedOutcome::Applied);
    assert_eq!(put(&kit, 6, &[]).await, FencedOutcome::Applied);
    assert_eq!(put(&kit, 5, &[("s-1", None)]).await, FencedOutcome::Refused(FencingToken(6)));
    assert_eq!(scan(&kit).await.rows, [row("s-1", 2, "c")]);
}

/// `put_fenced` writes all its rows or none; `None` deletes.
pub async fn a_fenced_write_is_all_or_nothing(kit: Kit) {
    put(&kit, 1, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]).await;
    put(&kit, 1, &[("a", Some("2")), ("b", None), ("x", None), ("d", Some("2"))]).await;
    let now = [row("a", 2, "2"), row("c", 1, "1"), row("d", 1, "2")];
    assert_eq!(scan(&kit).await.rows, now);
    put(&kit, 0, &[("a", None), ("c", Some("3")), ("e", Some("3"))]).await;
    assert_eq!(scan(&kit).await.rows, now);
    assert_eq!(cas(&kit, "a", Some(2), Some("3")).await, CasOutcome::Applied(3), "one kind of row");
}

/// After `raise_token(t)` has returned, no `put_fenced` with a lower token may take effect, however
/// late.
pub async fn a_raised_token_ends_older_writers(kit: Kit) {
    let other = kit.other_session().await;
    for token in 1..=10 {
        let mut tasks = Vec::new();
        for index in 0..20 {
            let store = kit.stores.coordination.clone();
            tasks.push(spawn("tck", async move {
                let rows = [("a", index), ("b", index)]
                    .map(|(key, value)| (Arc::from(key), Some(bytes(&value.to_string()))));
                store.put_fenced("members", FencingToken(token), &rows).await.expect("put")
            }));
        }
        let next = FencingToken(token + 1);
        let raised = other.coordination.raise_token("members", next).await.expect("raise");
        assert_eq!(raised, next);
        let at_raise = other.coordination.scan("members").await.expect("scan");
        for task in tasks {
            let outcome = task.await.expect("no panic");
            assert!([FencedOutcome::Applied, FencedOutcome::Refused(next)].contains(&outcome));
        }
        assert_eq!(scan(&kit).await, at_raise, "nothing of token {token} after the raise");
        let values: Vec<_> = at_raise.rows.iter().map(|row| row.value.clone()).collect();
        assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "both rows of one write");
    }
}
