//! The rows of shapes, for the fuzzing in `fuzz`: read, compared with a shape of this program, and
//! united with it.

use std::sync::LazyLock;

use antiphon_base::fuzzing::{Bounds, Check, Decoder};
use serde::Deserialize;

use super::compare::difference;
use super::form::Shape;
use super::row::Row;
use super::samples::{Sample, Samples};
use super::tracer::trace;
use crate::codec::CodecId;

/// The rows of shapes.
pub const SHAPES: &[Decoder] = &[Decoder {
    name: "shape",
    decode,
    seeds: || vec![OWN.encode().expect("a small row")],
    // `{}` is a structure with fields in memory
    bounds: Bounds::new(64 * 1024, 256),
}];

static OWN: LazyLock<Row> = LazyLock::new(own);

#[expect(dead_code, reason = "the type is traced, and has no value")]
#[derive(Debug, Deserialize)]
enum Event {
    Created { title: String, tags: Vec<Option<u32>> },
    Moved(i64, u8),
    Renamed(String),
    Nested(Box<Event>),
    Closed,
}

fn own() -> Row {
    let shape: Shape = trace(false, false, |_: Event, _| {});
    let mut samples = Samples::default();
    let variant = ("Event".to_owned(), "Closed".to_owned());
    samples.add(Sample::new(b"ab", vec![variant]).expect("a small example"));
    Row { shape, samples }
}

fn decode(bytes: &[u8]) -> Option<Check> {
    let row = Row::decode("event|t|m|1|json", bytes)?;
    let own = &*OWN;
    for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
        let before = difference(codec, &row.shape, &own.shape);
        let united = row.union(codec, own);
        if before.is_none() {
            let after = difference(codec, &united.shape, &own.shape);
            assert_eq!(after, None, "the union with a row that fits it fits it too");
        }
        for sample in united.samples.iter() {
            let _ = (sample.bytes(), sample.is_beyond(&own.shape), sample.words());
        }
    }
    let again = |row: &Row| row.encode().and_then(|bytes| Row::decode("again", &bytes));
    // a row that was written without blanks is no longer than one that was read
    Some(Box::new(move || assert_eq!(again(&row).as_ref(), Some(&row), "a row is read back")))
}
