//! The record of a snapshot.
//!
//! | field | form |
//! |---|---|
//! | format | byte, 2 |
//! | sequence nr | number |
//! | version | [version vector](super::version) |
//! | position count | number |
//! | per position: replica id, sequence nr | text, number |
//! | timestamp | number |
//! | codec, manifest, payload version, state | byte, text, number, blob |
//! | checksum of stream, sequence nr and all of the above | 8 bytes, lowest first |

use antiphon_base::time::Timestamp;
use bytes::Bytes;

use super::bytes::{Reader, Unreadable, put_bytes, put_number};
use super::checksum::{Checksum, SEAL_BYTES, open, seal};
use super::version;
use crate::event::{Payload, SequenceNr};
use crate::identity::PersistenceId;
use crate::store::Snapshot;

const FORMAT: u8 = 2;

fn key(stream: &str, sequence_nr: SequenceNr) -> Checksum {
    let mut key = Checksum::of("snapshots");
    key.text(stream).number(sequence_nr.value());
    key
}

/// The record of a snapshot of a stream.
pub fn encode(persistence_id: &PersistenceId, snapshot: &Snapshot) -> Vec<u8> {
    let Snapshot { sequence_nr, version, positions, timestamp, state } = snapshot;
    let mut out = Vec::with_capacity(state.bytes.len() + 128);
    out.push(FORMAT);
    put_number(&mut out, sequence_nr.value());
    version::put(&mut out, version);
    put_number(&mut out, positions.len() as u64);
    for (replica, position) in positions {
        put_bytes(&mut out, replica.as_str().as_bytes());
        put_number(&mut out, position.value());
    }
    put_number(&mut out, timestamp.as_micros());
    out.push(state.codec);
    put_bytes(&mut out, state.manifest.as_bytes());
    put_number(&mut out, u64::from(state.version));
    put_bytes(&mut out, &state.bytes);
    seal(key(persistence_id.as_str(), *sequence_nr), &mut out);
    out
}

/// The snapshot of a record that lies under this stream and number. Its state is a part of `bytes`,
/// not a copy.
///
/// # Errors
/// The reason why the record cannot be used.
pub fn decode(
    stream: &str,
    sequence_nr: SequenceNr,
    bytes: &Bytes,
) -> Result<Snapshot, Unreadable> {
    // the format first: a record of a newer form may have another checksum
    match bytes.first() {
        Some(&FORMAT) => {}
        Some(_) => return Err("its format is not 2"),
        None => return Err("it is empty"),
    }
    if open(key(stream, sequence_nr), bytes)?.is_empty() {
        return Err("it ends too early");
    }
    assert!(bytes.len() > SEAL_BYTES, "a record that was opened has its format and its checksum");
    let body = bytes.slice(..bytes.len() - SEAL_BYTES);
    let mut reader = Reader(&body[1..]);
    if reader.number()? != sequence_nr.value() {
        return Err("its number is another one than that of the row");
    }
    let version = version::get(&mut reader)?;
    let mut positions = std::collections::BTreeMap::new();
    for _ in 0..reader.number()? {
        let replica = version::replica_named(reader.bytes()?)?;
        positions.insert(replica, SequenceNr::new(reader.number()?));
    }
    let timestamp = Timestamp::from_micros(reader.number()?);
    let state = Payload {
        codec: reader.byte()?,
        manifest: reader.text()?.into(),
        version: u16::try_from(reader.number()?).map_err(|_| "a payload version is too large")?,
        bytes: body.slice_ref(reader.bytes()?),
    };
    reader.end()?;
    Ok(Snapshot { sequence_nr, version, positions, timestamp, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ReplicaId;

    fn snapshot() -> Snapshot {
        let replica = ReplicaId::new("A").unwrap();
        Snapshot {
            sequence_nr: SequenceNr::new(300),
            version: [(replica.clone(), 7)].into_iter().collect(),
            positions: [(replica, SequenceNr::new(9))].into_iter().collect(),
            timestamp: Timestamp::from_micros(1),
            state: Payload {
                codec: 1,
                manifest: "m".into(),
                version: 2,
                bytes: Bytes::from_static(b"xy"),
            },
        }
    }

    fn id() -> PersistenceId {
        PersistenceId::parse("c|1|A").unwrap()
    }

    #[test]
    fn the_bytes_of_a_snapshot_never_change() {
        let bytes = encode(&id(), &snapshot());
        let golden = [
            2, 0xac, 2, 1, 1, b'A', 7, 1, 1, b'A', 9, 1, 1, 1, b'm', 2, 2, b'x', b'y', 31, 87, 57,
            11, 190, 235, 73, 64,
        ];
        assert_eq!(bytes, golden);
    }

    #[test]
    fn a_snapshot_is_read_back_as_it_was_written() {
        let bytes = encode(&id(), &snapshot()).into();
        assert_eq!(decode("c|1|A", SequenceNr::new(300), &bytes), Ok(snapshot()));
    }

    #[test]
    fn a_snapshot_under_another_key_is_refused() {
        let bytes = encode(&id(), &snapshot()).into();
        assert!(decode("c|2|A", SequenceNr::new(300), &bytes).is_err());
        assert!(decode("c|1|A", SequenceNr::new(301), &bytes).is_err());
    }

    #[test]
    fn any_flipped_bit_of_a_snapshot_is_found() {
        let bytes = encode(&id(), &snapshot());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode("c|1|A", SequenceNr::new(300), &damaged.into()).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            let cut = Bytes::copy_from_slice(&bytes[..end]);
            assert!(decode("c|1|A", SequenceNr::new(300), &cut).is_err(), "cut at {end}");
        }
    }
}
