//! Random operations on the place and on the stores in memory, which must give the same answers.

use antiphon_base::ErrorKind;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::store::{Append, FencingToken, Stores, WriterId};

use crate::kit::{id, nr, replay_all, writer_id};
use crate::{Generator, Kit};

/// The answer of an operation, in a form that can be compared.
type Answer = Result<String, ErrorKind>;

fn answer<T: std::fmt::Debug>(outcome: antiphon_base::Result<T>) -> Answer {
    outcome.map(|value| format!("{value:?}")).map_err(|error| error.kind())
}

/// All musts together: 400 random operations in sequence answer as the stores in memory do.
pub async fn random_journal_operations_answer_as_the_model(kit: Kit) {
    let model = MemoryStores::new().stores();
    for step in 0..400 {
        let seed = Generator::new(step);
        let metadata = kit.capabilities.metadata;
        let actual = journal_operation(&kit.stores, seed.clone(), metadata).await;
        let expected = journal_operation(&model, seed, metadata).await;
        assert_eq!(actual, expected, "step {step}");
    }
    for stream in 0..STREAM_COUNT {
        let expected = replay_all(&*model.journal, &stream_id(stream)).await;
        kit.assert_same(&kit.replay_all(&stream_id(stream)).await, &expected);
    }
}

/// Random operations on snapshots and coordination answer as the stores in memory do.
pub async fn random_table_operations_answer_as_the_model(kit: Kit) {
    let model = MemoryStores::new().stores();
    for step in 0..400 {
        let seed = Generator::new(1_000_000 + step);
        let actual = table_operation(&kit.stores, seed.clone()).await;
        let expected = table_operation(&model, seed).await;
        assert_eq!(actual, expected, "step {step}");
    }
}

const STREAM_COUNT: u64 = 6;

fn stream_id(stream: u64) -> PersistenceId {
    let entity_type = if stream.is_multiple_of(2) { "cart" } else { "carts" };
    id(&format!("{entity_type}|c-{stream}|DC-A"))
}

async fn journal_operation(stores: &Stores, mut random: Generator, metadata: bool) -> Answer {
    let journal = &stores.journal;
    let stream = stream_id(random.below(STREAM_COUNT));
    let writer: WriterId = writer_id(&format!("writer-{}", random.below(5)));
    match random.below(20) {
        0 | 1 => answer(journal.open_writer(&writer).await),
        2 if random.below(3) == 0 => answer(journal.seal(&writer).await),
        2..=4 => answer(journal.highest(&stream).await),
        5 => {
            let last = nr(random.below(60));
            answer(journal.delete_to(&stream, last).await)
        }
        6 | 7 => {
            let (first, count) = (random.below(60), random.below(20));
            let read = journal.replay(&stream, nr(first), nr(first + count), 1000).await;
            answer(read.map(|mut events| {
                if !metadata {
                    events.iter_mut().for_each(|event| event.meta.version = Default::default());
                }
                events
                    .into_iter()
                    .map(|event| (event.sequence_nr, event.payload))
                    .collect::<Vec<_>>()
            }))
        }
        8 => {
            let ids = stores.read_journal.persistence_ids("cart", Some(&stream), 2).await;
            answer(ids)
        }
        _ => {
            let highest = journal.highest(&stream).await.expect("highest").value();
            let expected = if random.below(8) == 0 { random.below(60) } else { highest };
            let count = random.below(5);
            let mut events = random.events(expected + 1, count, 300);
            if random.below(12) == 0
                && let Some(event) = events.last_mut()
            {
                event.sequence_nr = nr(random.below(60));
            }
            let append = Append { persistence_id: stream, expected: nr(expected), events };
            answer(journal.append(&writer, append).await)
        }
    }
}

async fn table_operation(stores: &Stores, mut random: Generator) -> Answer {
    let stream = stream_id(random.below(3));
    let (table, key) = (format!("t-{}", random.below(2)), format!("k-{}", random.below(4)));
    let number = nr(random.below(10));
    let value = (random.below(4) > 0).then(|| random.bytes(5));
    let token = FencingToken(random.below(12));
    let (snapshots, coordination) = (&stores.snapshots, &stores.coordination);
    match random.below(10) {
        0 => answer(snapshots.save_snapshot(&stream, &random.snapshot(number, 100)).await),
        1 if random.below(3) == 0 => answer(snapshots.delete_snapshots_to(&stream, number).await),
        1 | 2 => answer(snapshots.latest_snapshot(&stream, number).await),
        3 => answer(snapshots.latest_snapshot(&stream, SequenceNr::MAX).await),
        4 => answer(coordination.scan(&table).await),
        5 => answer(coordination.read(&table, &key).await),
        6 if random.below(4) == 0 => answer(coordination.raise_token(&table, token).await),
        7 => {
            let rows = [(key.as_str().into(), value), ("k-1".into(), Some(random.bytes(3)))];
            answer(coordination.put_fenced(&table, token, &rows).await)
        }
        _ => {
            let row = coordination.read(&table, &key).await.expect("read");
            let version = row.map(|row| row.version);
            let expected = if random.below(3) == 0 { Some(random.below(5)) } else { version };
            answer(coordination.compare_and_set(&table, &key, expected, value).await)
        }
    }
}
