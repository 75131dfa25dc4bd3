//! The position of a reader of the feed, for the fuzzing in `fuzz`.

use antiphon_base::fuzzing::{Bounds, Decoder, round_trip};
use antiphon_persistence::store::Offset;

use super::position::Position;

/// The position of a reader of the feed.
pub(crate) const POSITION: Decoder = Decoder {
    name: "cassandra_position",
    decode: |bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        let position = Position::parse(&Offset::new(text)).ok()?;
        let encode = |position: &Position| position.offset().expect("encoded");
        Some(round_trip(position, encode, |offset| Position::parse(&offset).ok()))
    },
    seeds: || vec![br#"{"lanes":{"node-1#5":[[0,17,0],[0,9,2]]},"scan":"c|1|A"}"#.to_vec()],
    bounds: Bounds::new(64 * 1024, 256),
};
