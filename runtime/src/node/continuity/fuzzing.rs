//! The rows of sessions, for the fuzzing in `fuzz`, with the rules that go on from them.

use antiphon_base::fuzzing::{Bounds, Check, Decoder};
use antiphon_persistence::store::Row;
use bytes::Bytes;

use super::session::{OWN, SessionRow, Witness};
use super::witness;
use crate::NodeId;
use crate::node::places::encode;

/// The session of a place, and its witness in the store of another place.
pub const SESSIONS: &[Decoder] = &[
    Decoder {
        name: "session",
        decode: session,
        seeds: || {
            let mut first = SessionRow::open(None, &me(), 1_000_000, ["B".to_owned()]);
            first.accept("B", 2_000_000);
            let second = SessionRow::open(Some(&first), &me(), 3_000_000, ["C".to_owned()]);
            vec![encode(&second).to_vec()]
        },
        bounds: Bounds::new(64 * 1024, 128),
    },
    Decoder {
        name: "witness",
        decode: witness,
        seeds: || vec![encode(&Witness { number: 3, opened_by: me() }).to_vec()],
        bounds: Bounds::new(64 * 1024, 64),
    },
];

fn me() -> NodeId {
    NodeId::new("me", 7).expect("a name")
}

fn peers() -> [String; 2] {
    ["B".to_owned(), "C".to_owned()]
}

fn read(bytes: &[u8]) -> Option<SessionRow> {
    let value = Bytes::copy_from_slice(bytes);
    SessionRow::decode(&Row { key: OWN.into(), version: 1, value }).ok()
}

fn session(bytes: &[u8]) -> Option<Check> {
    let row = read(bytes)?;
    Some(Box::new(move || {
        assert_eq!(read(&encode(&row)).as_ref(), Some(&row), "a session is read back");
        let mut next = SessionRow::open(Some(&row), &me(), 1, peers());
        assert!(next.number > row.number, "a session after {}", row.number);
        next.join(&me());
        let seen = row.witness("A", None);
        next.judge("B", seen.as_ref());
        next.suspect(peers());
        next.accept("B", 1);
        next.returned("B");
        next.leave(&me(), |_| false);
        assert!(next.number > row.number, "a session that ends after {}", row.number);
    }))
}

fn witness(bytes: &[u8]) -> Option<Check> {
    let seen = witness::decode("seen/B", bytes).ok()?;
    Some(Box::new(move || {
        let mut own = SessionRow::open(None, &me(), 1, peers());
        own.judge("B", Some(&seen));
        let is_known = seen.opened_by == own.opened_by;
        assert!(is_known || own.number > seen.number, "a session above its witness");
        let again = witness::decode("seen/B", &encode(&seen)).ok();
        assert_eq!(again, Some(seen), "a witness is read back");
    }))
}
