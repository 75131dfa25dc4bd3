//! Cases of [`ReminderStore`](antiphon_persistence::store::ReminderStore).

use std::collections::BTreeSet;

use antiphon_base::ErrorKind;
use antiphon_base::task::spawn;
use antiphon_base::time::Timestamp;
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::store::{ReminderRow, Stores};

use crate::kit::{assert_kind, id, nr};
use crate::{Generator, Kit};

/// Microseconds of a minute, an hour and a day.
const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// A time on a full hour in the year 2027.
const NOW: u64 = 500_000 * HOUR;
const FOREVER: u64 = u64::MAX;

fn row(due: u64, stream: &str, name: &str, set_by: u64) -> ReminderRow {
    ReminderRow {
        due: Timestamp::from_micros(due),
        persistence_id: id(stream),
        name: name.into(),
        set_by: nr(set_by),
    }
}

fn cart(due: u64, cart: u64) -> ReminderRow {
    row(due, &format!("cart|c-{cart:05}|DC-A"), "expire", 1)
}

async fn put(stores: &Stores, rows: &[ReminderRow]) {
    stores.reminders.put(rows).await.expect("put");
}

async fn remove(stores: &Stores, rows: &[ReminderRow]) {
    stores.reminders.remove(rows).await.expect("remove");
}

async fn contains(stores: &Stores, row: &ReminderRow) -> bool {
    stores.reminders.contains(row).await.expect("contains")
}

async fn due(
    stores: &Stores,
    until: u64,
    after: Option<&ReminderRow>,
    row_count_max: usize,
) -> Vec<ReminderRow> {
    let until = Timestamp::from_micros(until);
    stores.reminders.due("cart", until, after, row_count_max).await.expect("due")
}

async fn all_due(stores: &Stores, until: u64) -> Vec<ReminderRow> {
    due(stores, until, None, 10_000).await
}

/// `due` must return the rows in order: by due time, then by the bytes of the id and of the name,
/// then by number. The order of the puts does not count.
pub async fn rows_come_in_order(kit: Kit) {
    let sorted = [
        row(NOW - DAY, "cart|z|A", "z", 9),
        row(NOW - 1, "cart|a|A", "n", 1),
        row(NOW, "cart|10|A", "n", 1),
        row(NOW, "cart|9|A", "n", 1),
        row(NOW, "cart|B|A", "n", 1),
        row(NOW, "cart|a", "n", 1),
        row(NOW, "cart|a|A", "N", 1),
        row(NOW, "cart|a|A", "n", 1),
        row(NOW, "cart|a|A", "n", 2),
        row(NOW, "cart|a|A", "n", 10),
        row(NOW, "cart|a|A", "n ", 1),
        row(NOW, "cart|a|A", "é", 1),
        row(NOW, "cart|a|B", "a", 1),
        row(NOW, "cart|é|A", "a", 1),
        row(NOW + 1, "cart|a|A", "a", 1),
        row(NOW + 2 * HOUR, "cart|a|A", "a", 1),
    ];
    let mut mixed = sorted.clone();
    mixed.reverse();
    mixed.rotate_left(5);
    put(&kit.stores, &mixed).await;
    assert_eq!(all_due(&kit.stores, FOREVER).await, sorted);
}

/// `due` must return a row at its time, and not a microsecond before.
pub async fn a_row_is_due_at_its_time_and_not_before(kit: Kit) {
    for at in [NOW, NOW + 1, NOW + MINUTE - 1, NOW + HOUR - 1] {
        let row = cart(at, at - NOW);
        put(&kit.stores, std::slice::from_ref(&row)).await;
        assert!(!all_due(&kit.stores, at - 1).await.contains(&row), "{at}: too early");
        assert!(all_due(&kit.stores, at).await.contains(&row), "{at}: at its time");
    }
    assert_eq!(all_due(&kit.stores, NOW - 1).await, []);
}

/// `due` must return rows of the entity type, and not of a type with a longer or shorter name.
pub async fn rows_are_of_the_type_asked_for(kit: Kit) {
    let names = ["cart|a|A", "carts|a|A", "car|t|A", "cart |a|A", "Cart|a|A", "c%|a|A", "c_rt|a|A"];
    put(&kit.stores, &names.map(|name| row(NOW, name, "n", 1))).await;
    assert_eq!(all_due(&kit.stores, NOW).await, [row(NOW, "cart|a|A", "n", 1)]);
    let until = Timestamp::from_micros(NOW);
    let others = kit.stores.reminders.due("c%", until, None, 10).await.expect("due");
    assert_eq!(others, [row(NOW, "c%|a|A", "n", 1)]);
    assert_eq!(kit.stores.reminders.due("unknown", until, None, 10).await.expect("due"), []);
}

/// "A row that is there stays: `put` is idempotent", in one call, in several, and from another
/// session. No rows are no error.
pub async fn putting_a_row_again_changes_nothing(kit: Kit) {
    let other = kit.other_session().await;
    let rows = [cart(NOW, 1), cart(NOW, 2), cart(NOW, 1)];
    put(&kit.stores, &rows).await;
    put(&kit.stores, &rows[..1]).await;
    put(&other, &rows).await;
    put(&other, &[]).await;
    assert_eq!(all_due(&kit.stores, NOW).await, rows[..2]);
    remove(&kit.stores, &rows[..1]).await;
    assert_eq!(all_due(&kit.stores, NOW).await, rows[1..2], "one removal is enough");
}

/// `remove` must remove the row and no other; a row that is not there is no error.
pub async fn removing_takes_that_row_only_and_can_be_repeated(kit: Kit) {
    let row_of = |due, stream, name, nr| row(due, stream, name, nr);
    let removed = row_of(NOW, "cart|a|A", "n", 5);
    let others = [
        row_of(NOW - 1, "cart|a|A", "n", 5),
        row_of(NOW, "cart|a", "n", 5),
        row_of(NOW, "cart|a|A", "m", 5),
        row_of(NOW, "cart|a|A", "n", 4),
        row_of(NOW, "cart|a|A", "n", 6),
        row_of(NOW, "cart|a|B", "n", 5),
        row_of(NOW + 1, "cart|a|A", "n", 5),
    ];
    put(&kit.stores, &others).await;
    remove(&kit.stores, std::slice::from_ref(&removed)).await;
    put(&kit.stores, std::slice::from_ref(&removed)).await;
    for _ in 0..2 {
        remove(&kit.stores, &[removed.clone(), cart(NOW, 99), removed.clone()]).await;
        assert!(!contains(&kit.stores, &removed).await);
        let left = all_due(&kit.stores, FOREVER).await;
        assert_eq!(left.into_iter().collect::<BTreeSet<_>>(), others.iter().cloned().collect());
    }
    remove(&kit.stores, &[]).await;
}

/// "A row that was removed can be put again", also after `due` has seen that there is none.
pub async fn a_removed_row_can_be_put_again(kit: Kit) {
    let row = cart(NOW, 1);
    for round in 0..20 {
        put(&kit.stores, std::slice::from_ref(&row)).await;
        assert_eq!(all_due(&kit.stores, NOW).await, std::slice::from_ref(&row), "round {round}");
        remove(&kit.stores, std::slice::from_ref(&row)).await;
        assert_eq!(all_due(&kit.stores, NOW).await, [], "round {round}");
        assert_eq!(all_due(&kit.stores, NOW + 2 * DAY).await, [], "round {round}");
    }
}

/// `contains` must see every `put` and `remove` that has returned, also of another session.
pub async fn a_row_is_there_between_put_and_remove(kit: Kit) {
    let other = kit.other_session().await;
    for (one, two) in [(&kit.stores, &other), (&other, &kit.stores)] {
        let row = cart(NOW + DAY, 7);
        assert!(!contains(two, &row).await);
        put(one, std::slice::from_ref(&row)).await;
        assert!(contains(two, &row).await);
        for near in [cart(NOW + DAY, 8), cart(NOW + DAY + 1, 7), cart(NOW, 7)] {
            assert!(!contains(two, &near).await);
        }
        remove(one, std::slice::from_ref(&row)).await;
        assert!(!contains(two, &row).await);
    }
}

/// Pages follow each other through many rows of one time: each row once, in order.
pub async fn many_rows_of_one_time_come_in_pages(kit: Kit) {
    let mut rows: Vec<_> = (0..300).map(|nr| cart(NOW, nr)).collect();
    rows.extend((0..20).map(|nr| row(NOW, "cart|c-00150|DC-A", &format!("name {nr:02}"), 1)));
    put(&kit.stores, &rows).await;
    rows.sort();
    for page_max in [1, 7, 320, 1000] {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = due(&kit.stores, NOW, after.as_ref(), page_max).await;
            assert!(page.len() <= page_max);
            all.extend(page.iter().cloned());
            assert!(all.len() <= rows.len(), "pages of {page_max}: a row came twice");
            if page.len() < page_max {
                break;
            }
            after = page.last().cloned();
        }
        assert_eq!(all, rows, "pages of {page_max}");
    }
    assert_eq!(due(&kit.stores, NOW, None, 0).await, []);
    assert_eq!(due(&kit.stores, NOW, rows.last(), 9).await, []);
    assert_eq!(due(&kit.stores, NOW, Some(&cart(NOW + DAY, 1)), 9).await, [], "behind `until`");
}

/// Rows may be removed while a caller reads page by page: no other row is left out or comes twice.
pub async fn rows_may_be_removed_while_pages_are_read(kit: Kit) {
    // ten minutes and three hours apart, so that a store with partitions by time has several
    let at = |nr: u64| NOW + (nr % 3) * 3 * HOUR + (nr % 2) * 10 * MINUTE;
    let mut rows: Vec<_> = (0..120).map(|nr| cart(at(nr), nr)).collect();
    put(&kit.stores, &rows).await;
    rows.sort();
    let (mut seen, mut after): (Vec<ReminderRow>, _) = (Vec::new(), None);
    loop {
        let page = due(&kit.stores, FOREVER, after.as_ref(), 10).await;
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        // the row that the next page begins behind, and a row of every page to come
        remove(&kit.stores, &page[5..]).await;
        seen.extend(page);
        assert!(seen.len() <= rows.len(), "a row came twice");
    }
    assert_eq!(seen, rows);
    let left: Vec<_> = rows.chunks(10).flat_map(|page| page[..5].to_vec()).collect();
    assert_eq!(all_due(&kit.stores, FOREVER).await, left);
}

/// A row of the far past or future is kept, and due at its time.
pub async fn the_ends_of_time_are_kept(kit: Kit) {
    let most = ReminderRow::due_max().as_micros();
    let rows = [cart(0, 1), cart(1, 1), cart(NOW + 200 * 365 * DAY, 1), cart(most, 1)];
    put(&kit.stores, &rows).await;
    assert_eq!(all_due(&kit.stores, 0).await, rows[..1]);
    assert_eq!(all_due(&kit.stores, NOW).await, rows[..2]);
    assert_eq!(all_due(&kit.stores, most - 1).await, rows[..3]);
    assert_eq!(all_due(&kit.stores, most).await, rows);
    assert_eq!(all_due(&kit.stores, FOREVER).await, rows);
    let numbers =
        [row(5, "cart|a|A", "n", 0), row(5, "cart|a|A", "n", ReminderRow::set_by_max().value())];
    put(&kit.stores, &numbers).await;
    assert_eq!(due(&kit.stores, 5, Some(&rows[1]), 9).await, numbers);
}

/// `due` must find rows that are late by months, also rows that were put after `due` had found
/// nothing at that time.
pub async fn rows_that_are_late_by_months_are_found(kit: Kit) {
    let other = kit.other_session().await;
    let old: Vec<_> = (0..60).map(|week| cart(NOW - (60 - week) * 7 * DAY, week)).collect();
    put(&kit.stores, &old).await;
    assert_eq!(all_due(&kit.stores, NOW).await, old);
    remove(&kit.stores, &old).await;
    for until in [NOW, NOW + MINUTE, NOW + HOUR, NOW + 2 * DAY] {
        assert_eq!(all_due(&kit.stores, until).await, []);
    }
    let mut expected = Vec::new();
    for (session, late) in [(&other, 90 * DAY), (&kit.stores, 91 * DAY), (&other, 1), (&other, 0)] {
        let row = cart(NOW - late, 77);
        put(session, std::slice::from_ref(&row)).await;
        expected.push(row);
        expected.sort();
        assert_eq!(all_due(&kit.stores, NOW + 2 * DAY).await, expected, "late by {late}");
    }
    let (gone, left) = expected.split_at(2);
    remove(&other, gone).await;
    assert_eq!(all_due(&kit.stores, NOW + 2 * DAY).await, left);
}

/// A row must be read back equal: a name is any text.
pub async fn names_are_any_text(kit: Kit) {
    let long = "ü".repeat(ReminderRow::NAME_BYTES_MAX / 2);
    let names = [
        "\0",
        "a\0",
        "a\0b",
        "\n",
        " ",
        "a|b",
        "'; DROP TABLE reminders; --",
        "\"quoted\"",
        "☃",
        "e\u{301}",
        "é",
        "\u{10ffff}",
        &long,
    ];
    let mut rows: Vec<_> = names.iter().map(|name| row(NOW, "cart|ü ☃'|é", name, 1)).collect();
    put(&kit.stores, &rows).await;
    rows.sort();
    assert_eq!(all_due(&kit.stores, NOW).await, rows);
    for (index, row) in rows.iter().enumerate() {
        assert!(contains(&kit.stores, row).await, "{row:?}");
        assert_eq!(due(&kit.stores, NOW, Some(row), 100).await, rows[index + 1..], "{row:?}");
    }
    remove(&kit.stores, &rows).await;
    assert_eq!(all_due(&kit.stores, NOW).await, []);
}

/// `put` must fail with `Rejected`, and store no row, when one of them breaks a bound. Such a row
/// is never there.
pub async fn a_row_out_of_bounds_is_rejected_and_nothing_is_stored(kit: Kit) {
    let most = i64::MAX.unsigned_abs();
    let long = "n".repeat(ReminderRow::NAME_BYTES_MAX + 1);
    for wrong in [
        row(most + 1, "cart|a|A", "n", 1),
        row(u64::MAX, "cart|a|A", "n", 1),
        row(NOW, "cart|a|A", "", 1),
        row(NOW, "cart|a|A", &long, 1),
        row(NOW, "cart|a|A", "n", most + 1),
    ] {
        let rows = [cart(NOW, 1), wrong.clone(), cart(NOW, 2)];
        assert_kind(kit.stores.reminders.put(&rows).await, ErrorKind::Rejected);
        assert!(!contains(&kit.stores, &wrong).await);
        remove(&kit.stores, &[wrong]).await;
        assert_eq!(all_due(&kit.stores, FOREVER).await, []);
    }
}

/// `due` must see every `put` that has returned, also of another session: no row is lost amid puts,
/// removals and reads at the same time, of times before and after.
pub async fn no_row_is_lost_amid_puts_and_removals(kit: Kit) {
    const TASKS: u64 = 8;
    const ROWS: u64 = 40;
    let other = kit.other_session().await;
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let stores = if task.is_multiple_of(2) { kit.stores.clone() } else { other.clone() };
        tasks.push(spawn("tck", async move {
            let mut random = Generator::new(task);
            for nr in 0..ROWS {
                // few minutes, so that rows are put where others were found and removed
                let at = NOW - random.below(3) * HOUR + random.below(3) * MINUTE;
                let own = cart(at + random.below(MINUTE), task * ROWS + nr);
                let gone = row(at, "cart|gone|DC-A", "gone", task * ROWS + nr);
                stores.reminders.put(&[own, gone.clone()]).await.expect("put");
                stores.reminders.remove(&[gone]).await.expect("remove");
            }
        }));
    }
    let mut seen = BTreeSet::new();
    loop {
        let is_last = tasks.iter().all(|task| task.is_finished());
        let page = due(&kit.stores, NOW + DAY, None, 25).await;
        let is_empty = page.is_empty();
        let (gone, own): (Vec<_>, Vec<_>) = page.into_iter().partition(|row| &*row.name == "gone");
        remove(&kit.stores, &own).await;
        for row in own {
            assert!(seen.insert(row.clone()), "{row:?} came again after its removal");
        }
        if is_last && is_empty {
            break;
        }
        // the rows that others remove
        if !gone.is_empty() {
            tokio::task::yield_now().await;
        }
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(seen.len(), usize::try_from(TASKS * ROWS).expect("few"), "rows were lost");
    assert_eq!(all_due(&other, FOREVER).await, []);
}

/// Rows must outlive the sessions.
pub async fn rows_are_as_before_after_reopening(kit: Kit) {
    if !kit.can(kit.capabilities.reopens, "reopens") {
        return;
    }
    let mut rows: Vec<_> = (0..50).map(|nr| cart(NOW + nr * 10 * MINUTE, nr)).collect();
    put(&kit.stores, &rows).await;
    assert_eq!(all_due(&kit.stores, NOW).await, rows[..1]);
    remove(&kit.stores, &[rows.remove(20), rows.remove(0)]).await;
    assert_eq!(all_due(&kit.stores, NOW + 7 * HOUR).await, rows[..41]);
    let kit = kit.reopen().await;
    assert_eq!(all_due(&kit.stores, FOREVER).await, rows);
    assert!(contains(&kit.stores, &rows[0]).await);
    assert!(!contains(&kit.stores, &cart(NOW, 0)).await);
    put(&kit.stores, &[cart(NOW - DAY, 99)]).await;
    rows.insert(0, cart(NOW - DAY, 99));
    let kit = kit.reopen().await;
    assert_eq!(all_due(&kit.stores, FOREVER).await, rows);
}

/// All musts together: 400 random operations in sequence answer as the stores in memory do.
pub async fn random_operations_answer_as_the_model(kit: Kit) {
    let model = MemoryStores::new().stores();
    let other = kit.other_session().await;
    for step in 0..400 {
        let seed = Generator::new(2_000_000 + step);
        let session = if step % 5 == 0 { &other } else { &kit.stores };
        let actual = operation(session, seed.clone()).await;
        assert_eq!(actual, operation(&model, seed).await, "step {step}");
    }
    let everything = all_due(&model, FOREVER).await;
    assert!(!everything.is_empty());
    assert_eq!(all_due(&kit.stores, FOREVER).await, everything);
}

/// The answer of a random operation.
async fn operation(stores: &Stores, mut random: Generator) -> Vec<ReminderRow> {
    let time = |random: &mut Generator| {
        let hours = random.below(4) * HOUR + random.below(3) * MINUTE;
        NOW - 2 * HOUR + hours + random.below(3)
    };
    let row_of = |random: &mut Generator| {
        let at = time(random);
        let name = ["a", "b", "\0"][usize::try_from(random.below(3)).expect("few")];
        row(at, &format!("cart|c-{}|A", random.below(3)), name, random.below(2))
    };
    let rows: Vec<_> = (0..=random.below(3)).map(|_| row_of(&mut random)).collect();
    match random.below(8) {
        0..=2 => put(stores, &rows).await,
        3 | 4 => remove(stores, &rows).await,
        5 => {
            let is_there = contains(stores, &rows[0]).await;
            return if is_there { rows[..1].to_vec() } else { Vec::new() };
        }
        6 => {
            let after = due(stores, time(&mut random), None, 2).await.pop();
            let count = usize::try_from(random.below(9)).expect("few");
            return due(stores, time(&mut random), after.as_ref(), count).await;
        }
        _ => {
            let count = usize::try_from(random.below(9)).expect("few");
            let until = time(&mut random);
            return due(stores, until, rows.first(), count).await;
        }
    }
    Vec::new()
}
