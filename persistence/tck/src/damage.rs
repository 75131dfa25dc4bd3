//! Cases of damaged rows: one flipped bit in any byte of a row is found or harmless, and never
//! gives a wrong value.
//!
//! Each case flips one bit after the other, always in sound stores, and makes every read that
//! depends on such rows. A read must answer as without the damage, or fail with `Corrupt`. A
//! snapshot may also be an older one, a position the start, and a reminder may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use antiphon_base::time::Timestamp;
use antiphon_base::{ErrorKind, Result};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::SliceRange;
use antiphon_persistence::store::{
    ChangesQuery, FencingToken, Offset, OffsetKey, ReminderRow, Snapshot, Stores,
};
use bytes::Bytes;

use crate::kit::{Pen, id, nr, replica, seal, writer_id};
use crate::place::DamagedRows;
use crate::{Generator, Kit};

/// Flips of each case.
const FLIP_COUNT: u64 = 250;
const STREAMS: [&str; 3] = ["cart|c-1|DC-A", "cart|c-2|DC-A", "cart|c-3|DC-A"];
const TABLES: [&str; 3] = ["members", "homes", "leases"];

/// A damaged row of events, or of the rows that lead to events, must be found whenever it is read:
/// the call fails with `Corrupt`.
pub async fn a_flipped_bit_of_the_journal_is_found_or_harmless(kit: Kit) {
    flip_bits(kit, DamagedRows::Journal).await;
}

/// A damaged snapshot must be passed over for the newest sound one before it.
pub async fn a_flipped_bit_of_a_snapshot_is_found_or_harmless(kit: Kit) {
    flip_bits(kit, DamagedRows::Snapshots).await;
}

/// A damaged row of coordination must be found whenever it is read, by `scan` or by its key.
pub async fn a_flipped_bit_of_coordination_is_found_or_harmless(kit: Kit) {
    flip_bits(kit, DamagedRows::Coordination).await;
}

/// A damaged position must be found when it is loaded.
pub async fn a_flipped_bit_of_an_offset_is_found_or_harmless(kit: Kit) {
    flip_bits(kit, DamagedRows::Offsets).await;
}

/// A damaged row of a reminder must never be returned as another row: `due` passes over it, and
/// `contains` fails with `Corrupt` or does not find it.
pub async fn a_flipped_bit_of_a_reminder_is_found_or_harmless(kit: Kit) {
    flip_bits(kit, DamagedRows::Reminders).await;
}

async fn flip_bits(kit: Kit, rows: DamagedRows) {
    if !kit.can(kit.capabilities.metadata, "metadata") {
        return;
    }
    write(&kit).await;
    let sound = read_all(&kit.stores, rows).await;
    let snapshots = snapshots().into_values().flatten().map(Some).chain([None]);
    let snapshots: BTreeSet<String> = snapshots.map(|one| format!("{one:?}")).collect();
    let start = format!("{:?}", Offset::start());
    let mut found = 0;
    for choice in 0..FLIP_COUNT {
        let choice = Generator::new(choice).number();
        let Some((what, damaged)) = kit.damaged_session(rows, choice).await else {
            eprintln!("skipped: the place cannot be damaged");
            return;
        };
        let read = read_all(&damaged, rows).await;
        assert_eq!(read.len(), sound.len());
        let mut differs = false;
        for ((name, actual), (_, expected)) in read.into_iter().zip(&sound) {
            differs |= actual != *expected;
            let passes = match &actual {
                Ok(value) => {
                    actual == *expected
                        || (name.starts_with("snapshot") && snapshots.contains(value))
                        || (name.starts_with("offset") && *value == start)
                        || (name.starts_with("reminder") && value == "false")
                }
                Err(kind) => *kind == ErrorKind::Corrupt,
            };
            assert!(passes, "{what}: {name}: expected {expected:?}, actual {actual:?}");
        }
        if rows == DamagedRows::Journal {
            assert_sealed(&damaged, &what).await;
        }
        found += u64::from(differs);
    }
    assert!(found * 2 > FLIP_COUNT, "{found} of {FLIP_COUNT} flips were noticed: too few");
}

/// "no append of that writer may take effect": also when the writer's row is damaged.
async fn assert_sealed(stores: &Stores, what: &str) {
    let pen = Pen { journal: stores.journal.clone(), writer: writer_id("writer-1") };
    for (stream, expected) in STREAMS.into_iter().zip([3, 130, 8]).chain([("cart|new|DC-A", 0)]) {
        let outcome = pen.try_append(&id(stream), expected, 1).await;
        assert!(outcome.is_err(), "{what}: a sealed writer appended to `{stream}`");
    }
}

/// Writes streams with few events, with many appends and with deleted events, and a few rows of all
/// else.
async fn write(kit: &Kit) {
    let pen = kit.writer("writer-1").await;
    for (stream, appends) in STREAMS.iter().zip([3, 130, 8]) {
        for append in 0..appends {
            pen.append(&id(stream), append, 1).await;
        }
    }
    let Stores { journal, snapshots: store, offsets, coordination, .. } = &kit.stores;
    journal.delete_to(&id(STREAMS[2]), nr(3)).await.expect("delete");
    // a seal makes the store finish its late writes now
    seal(&**journal, &pen.writer).await;
    for (stream, snapshots) in snapshots() {
        for snapshot in snapshots {
            store.save_snapshot(&id(stream), &snapshot).await.expect("save");
        }
    }
    for (reader, part) in [("loop", "0..16"), ("loop", "16..32"), ("other", "all")] {
        let key = OffsetKey { reader: reader.into(), part: part.into() };
        offsets.save_offset(&key, &Offset::new(format!("{part} of 17"))).await.expect("save");
    }
    for node in ["a@1", "b@1", "c@2"] {
        let value = Some(Bytes::from(format!("the row of {node}")));
        coordination.compare_and_set(TABLES[0], node, None, value).await.expect("cas");
    }
    let homes: Vec<_> = (0..5_u8)
        .map(|shard| (format!("shard-{shard}").into(), Some(Bytes::from(vec![shard; 20]))))
        .collect();
    coordination.put_fenced(TABLES[1], FencingToken(7), &homes).await.expect("put");
    coordination.raise_token(TABLES[2], FencingToken(9)).await.expect("raise");
    kit.stores.reminders.put(&reminders()).await.expect("put");
}

fn snapshots() -> BTreeMap<&'static str, Vec<Snapshot>> {
    let mut random = Generator::new(11);
    let mut of = |numbers: &[u64]| {
        numbers.iter().map(|number| random.snapshot(nr(*number), 100)).collect::<Vec<_>>()
    };
    BTreeMap::from([(STREAMS[0], of(&[2])), (STREAMS[1], of(&[50, 100, 130]))])
}

type Read = (String, std::result::Result<String, ErrorKind>);

/// Makes every read of such rows, and returns each call with its answer.
async fn read_all(stores: &Stores, rows: DamagedRows) -> Vec<Read> {
    match rows {
        DamagedRows::Journal => read_journal(stores).await,
        DamagedRows::Snapshots => read_snapshots(stores).await,
        DamagedRows::Coordination => read_coordination(stores).await,
        DamagedRows::Offsets => read_offsets(stores).await,
        DamagedRows::Reminders => read_reminders(stores).await,
    }
}

async fn read_journal(stores: &Stores) -> Vec<Read> {
    let mut all = Vec::new();
    for stream in STREAMS {
        let journal = &stores.journal;
        all.push((format!("highest of {stream}"), text(journal.highest(&id(stream)).await)));
        for (first, last) in [(1, u64::MAX), (60, 70), (130, 130)] {
            let events = journal.replay(&id(stream), nr(first), nr(last), 1000).await;
            all.push((format!("replay of {stream} from {first}"), text(events)));
        }
    }
    all.push(("feed".into(), text(feed(stores).await)));
    let ids = stores.read_journal.persistence_ids("cart", None, 100).await;
    all.push(("persistence ids".into(), text(ids)));
    all
}

async fn read_snapshots(stores: &Stores) -> Vec<Read> {
    let mut all = Vec::new();
    for stream in STREAMS {
        for last in [SequenceNr::MAX, nr(110)] {
            let snapshot = stores.snapshots.latest_snapshot(&id(stream), last).await;
            all.push((format!("snapshot of {stream} up to {last}"), text(snapshot)));
        }
    }
    all
}

async fn read_coordination(stores: &Stores) -> Vec<Read> {
    let mut all = Vec::new();
    for table in TABLES {
        all.push((format!("scan of {table}"), text(stores.coordination.scan(table).await)));
        for row in ["a@1", "c@2", "shard-0", "shard-4", "nothing"] {
            let found = stores.coordination.read(table, row).await;
            all.push((format!("row {row} of {table}"), text(found)));
        }
    }
    all
}

async fn read_offsets(stores: &Stores) -> Vec<Read> {
    let mut all = Vec::new();
    for (reader, part) in [("loop", "0..16"), ("loop", "16..32"), ("other", "all")] {
        let key = OffsetKey { reader: reader.into(), part: part.into() };
        let offset = stores.offsets.load_offset(&key).await;
        all.push((format!("offset of {reader} {part}"), text(offset)));
    }
    all
}

fn reminders() -> Vec<ReminderRow> {
    let row = |number: u64| ReminderRow {
        due: Timestamp::from_micros(1_800_000_000_000_000 + number * 1_700_000_000),
        persistence_id: id(STREAMS[usize::try_from(number % 3).expect("few")]),
        name: format!("reminder ☃ {number}").into(),
        set_by: nr(number),
    };
    (0..9).map(row).collect()
}

/// Tells for each row whether it is there, in two ways, and whether any other row is.
async fn read_reminders(stores: &Stores) -> Vec<Read> {
    let mut all = Vec::new();
    let store = &stores.reminders;
    let due = store.due("cart", Timestamp::from_micros(u64::MAX), None, 100).await;
    let due = due.expect("a damaged row is passed over");
    for (index, row) in reminders().iter().enumerate() {
        all.push((format!("reminder {index} is due"), Ok(due.contains(row).to_string())));
        all.push((format!("reminder {index} is there"), text(store.contains(row).await)));
    }
    let others = due.iter().filter(|row| !reminders().contains(row)).count();
    all.push(("other rows".into(), Ok(others.to_string())));
    all
}

fn text<T: Debug>(answer: Result<T>) -> std::result::Result<String, ErrorKind> {
    answer.map(|value| format!("{value:?}")).map_err(|error| error.kind())
}

/// The events that the feed covers, by stream.
async fn feed(stores: &Stores) -> Result<BTreeMap<String, String>> {
    let mut query = ChangesQuery {
        entity_type: "cart".into(),
        replica: replica("DC-A"),
        slices: SliceRange::ALL,
        after: Offset::start(),
        change_count_max: 100,
    };
    let mut covered = BTreeMap::new();
    loop {
        let page = stores.read_journal.changes(&query).await?;
        for change in page.changes {
            let (highest, seen) = covered
                .remove(change.persistence_id.as_str())
                .unwrap_or((SequenceNr::ZERO, antiphon_persistence::version::VersionVector::new()));
            let mut seen = seen;
            seen.merge(&change.seen);
            let name = change.persistence_id.to_string();
            covered.insert(name, (highest.max(change.highest), seen));
        }
        query.after = page.through;
        if !page.more {
            let text = |(name, end)| (name, format!("{end:?}"));
            return Ok(covered.into_iter().map(text).collect());
        }
    }
}
