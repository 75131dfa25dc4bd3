//! Rows of a file, for the fuzzing in `fuzz`.

use std::collections::VecDeque;

use antiphon_base::fuzzing::{Bounds, Check, Decoder, nothing_more, round_trip};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::fuzzing::event;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::record::{batch, version};
use antiphon_persistence::store::Offset;
use bytes::Bytes;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::{Batch, Range, check, decode};
use crate::batch_row::BatchHeader;
use crate::head::End;
use crate::position::Position;

/// Rows as SQLite returns them, events of several rows, and positions of the feed.
pub const ROWS: &[Decoder] = &[
    Decoder {
        name: "sqlite_row",
        decode: row,
        seeds: || {
            let numbers = |numbers: [u8; 5]| numbers.map(|number| [INTEGER, number]).concat();
            let seen = version::encode(&event(5).meta.version);
            let length = u8::try_from(seen.len()).expect("a short version");
            let all = [numbers([7, 1, 5, 6, 3]), vec![BLOB, length], seen, vec![INTEGER, 1]];
            vec![all.concat()]
        },
        bounds: Bounds::new(64 * 1024, 64),
    },
    Decoder {
        name: "sqlite_events",
        decode: events,
        seeds: || {
            let record = |numbers: std::ops::Range<u64>| {
                let events = batch::encode(&numbers.clone().map(event).collect::<Vec<_>>());
                let length = u8::try_from(events.len()).expect("a short record");
                let first = u8::try_from(numbers.start).expect("a small number");
                [&[first, length][..], &events].concat()
            };
            vec![[vec![2, 5], record(1..3), record(3..6)].concat()]
        },
        bounds: Bounds::new(16 * 1024, 256),
    },
    Decoder {
        name: "sqlite_position",
        decode: |bytes| {
            let text = std::str::from_utf8(bytes).ok()?;
            let offset = Position::parse(&Offset::new(text)).ok()?.offset();
            let again = |offset| Some(Position::parse(&offset).ok()?.offset());
            Some(round_trip(offset, Offset::clone, again))
        },
        seeds: || vec![b"17@2f3a".to_vec(), b"17".to_vec()],
        bounds: Bounds::new(16 * 1024, 8),
    },
];

/// An integer of one byte follows.
const INTEGER: u8 = 0;
/// A blob follows, with its length in one byte.
const BLOB: u8 = 1;

fn stream() -> PersistenceId {
    PersistenceId::parse("c|1|A").expect("an id")
}

/// The next value of a row: of any type, as a damaged or forged file may have it.
fn value(bytes: &mut &[u8]) -> Value {
    let mut next = |count: usize| {
        let (taken, rest) = bytes.split_at(bytes.len().min(count));
        *bytes = rest;
        taken
    };
    let kind = next(1).first().copied().unwrap_or(INTEGER);
    match kind % 5 {
        INTEGER => Value::Integer(next(1).first().map_or(0, |byte| i64::from(*byte))),
        BLOB => {
            let length = next(1).first().map_or(0, |length| usize::from(*length));
            Value::Blob(next(length).to_vec())
        }
        2 => Value::Integer(next(8).try_into().map_or(-1, i64::from_le_bytes)),
        3 => Value::Text(String::from_utf8_lossy(next(4)).into_owned()),
        _ => Value::Null,
    }
}

thread_local! {
    static CONNECTION: Connection = Connection::open_in_memory().expect("memory");
}

fn row(mut bytes: &[u8]) -> Option<Check> {
    // the checksum comes last, and fits
    let values: Vec<Value> = (0..8).map(|_| value(&mut bytes)).collect();
    let header = CONNECTION.with(|connection| {
        let mut statement = connection.prepare_cached("SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8")?;
        statement.query_row(rusqlite::params_from_iter(values), BatchHeader::read)
    });
    let mut header = header.ok()?;
    let (id, name) = (stream(), "c|1|A");
    header.checksum = header.sum(name, &header.seen);
    let mut end = End {
        stream: header.stream,
        highest: header.last,
        newest: header.ordinal,
        previous: header.previous,
        deleted: header.first,
        depth: header.events_checksum,
        checksum: 0,
    };
    end.checksum = end.sum(name);
    check(&header, &id, end, header.ordinal).ok()?;
    let range = Range::new(SequenceNr::new(1), end.highest_nr(), 10, end);
    let seen = version::decode(&header.seen).ok()?;
    let _ = end.check(name);
    Some(nothing_more((seen, range.map(|range| range.first))))
}

/// Events of several rows, each with its first number and its length in one byte.
fn events(bytes: &[u8]) -> Option<Check> {
    let (&[first, last], mut rest) = bytes.split_first_chunk()?;
    let mut batches = VecDeque::new();
    while let [first, length, after @ ..] = rest {
        let (events, after) = after.split_at(after.len().min(usize::from(*length)));
        let (first, events) = (i64::from(*first), Bytes::copy_from_slice(events));
        batches.push_back(Batch { first, events });
        rest = after;
    }
    let range = Range { first: first.into(), last: last.into() };
    let events = decode(&stream(), range, batches).ok()?;
    Some(Box::new(move || {
        let numbers = events.iter().map(|event| event.sequence_nr.value());
        let expected = range.first.unsigned_abs()..=range.last.unsigned_abs();
        assert!(numbers.zip(expected).all(|(nr, expected)| nr == expected), "dense events");
    }))
}
