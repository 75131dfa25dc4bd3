//! The record of a snapshot.
//!
//! | field | form |
//! |---|---|
//! | format | byte, 2; 3 with reminders |
//! | sequence nr | number |
//! | version | [version vector](super::version) |
//! | position count | number |
//! | per position: replica id, sequence nr | text, number |
//! | timestamp | number |
//! | codec, manifest, payload version, state | byte, text, number, blob |
//! | format 3: reminder count, at least one | number |
//! | per reminder: name | text |
//! | due, period, set by | 3 numbers |
//! | origin, origin nr, set at | text, 2 numbers |
//! | checksum of stream, sequence nr and all of the above | 8 bytes, lowest first |

use antiphon_base::time::Timestamp;
use bytes::Bytes;

use super::bytes::{Reader, Unreadable, put_bytes, put_number};
use super::checksum::{Checksum, SEAL_BYTES, open, seal};
use super::version;
use crate::event::{Payload, SequenceNr};
use crate::identity::PersistenceId;
use crate::store::{SetReminder, Snapshot};

/// The format of a snapshot without reminders, which every version reads.
const PLAIN: u8 = 2;
/// The format of a snapshot with reminders.
const WITH_REMINDERS: u8 = 3;

fn key(stream: &str, sequence_nr: SequenceNr) -> Checksum {
    let mut key = Checksum::of("snapshots");
    key.text(stream).number(sequence_nr.value());
    key
}

/// The record of a snapshot of a stream.
pub fn encode(persistence_id: &PersistenceId, snapshot: &Snapshot) -> Vec<u8> {
    let Snapshot { sequence_nr, version, positions, timestamp, state, reminders } = snapshot;
    let mut out = Vec::with_capacity(state.bytes.len() + 128);
    out.push(if reminders.is_empty() { PLAIN } else { WITH_REMINDERS });
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
    if !reminders.is_empty() {
        put_number(&mut out, reminders.len() as u64);
        reminders.iter().for_each(|reminder| put_reminder(&mut out, reminder));
    }
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
    let has_reminders = match bytes.first() {
        Some(&PLAIN) => false,
        Some(&WITH_REMINDERS) => true,
        Some(_) => return Err("its format is neither 2 nor 3"),
        None => return Err("it is empty"),
    };
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
    let reminders = if has_reminders { get_reminders(&mut reader)? } else { Vec::new() };
    reader.end()?;
    Ok(Snapshot { sequence_nr, version, positions, timestamp, state, reminders })
}

fn put_reminder(out: &mut Vec<u8>, reminder: &SetReminder) {
    let SetReminder { name, due, every, set_by, origin, origin_nr, set_at } = reminder;
    put_bytes(out, name.as_bytes());
    for number in [due.as_micros(), *every, set_by.value()] {
        put_number(out, number);
    }
    put_bytes(out, origin.as_str().as_bytes());
    put_number(out, *origin_nr);
    put_number(out, set_at.as_micros());
}

fn get_reminders(reader: &mut Reader<'_>) -> Result<Vec<SetReminder>, Unreadable> {
    let count = reader.number()?;
    if count == 0 {
        return Err("its format is that of reminders, and it has none");
    }
    let mut reminders: Vec<SetReminder> = Vec::new();
    for _ in 0..count {
        let reminder = SetReminder {
            name: reader.text()?.into(),
            due: Timestamp::from_micros(reader.number()?),
            every: reader.number()?,
            set_by: SequenceNr::new(reader.number()?),
            origin: version::replica_named(reader.bytes()?)?,
            origin_nr: reader.number()?,
            set_at: Timestamp::from_micros(reader.number()?),
        };
        if reminders.last().is_some_and(|before| before.name > reminder.name) {
            return Err("its reminders are not in order");
        }
        reminders.push(reminder);
    }
    Ok(reminders)
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
            reminders: Vec::new(),
        }
    }

    fn with_reminder() -> Snapshot {
        let reminder = SetReminder {
            name: "n".into(),
            due: Timestamp::from_micros(3),
            every: 4,
            set_by: SequenceNr::new(5),
            origin: ReplicaId::new("A").unwrap(),
            origin_nr: 6,
            set_at: Timestamp::from_micros(7),
        };
        Snapshot { reminders: vec![reminder], ..snapshot() }
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
        for snapshot in [snapshot(), with_reminder()] {
            let bytes = encode(&id(), &snapshot).into();
            assert_eq!(decode("c|1|A", SequenceNr::new(300), &bytes), Ok(snapshot));
        }
    }

    #[test]
    fn reminders_stand_behind_the_state_in_a_format_of_their_own() {
        let (plain, bytes) = (encode(&id(), &snapshot()), encode(&id(), &with_reminder()));
        let end = plain.len() - SEAL_BYTES;
        assert_eq!((bytes[0], &bytes[1..end]), (3, &plain[1..end]));
        assert_eq!(bytes[end..bytes.len() - SEAL_BYTES], [1, 1, b'n', 3, 4, 5, 1, b'A', 6, 7]);
    }

    #[test]
    fn reminders_out_of_order_or_none_of_them_are_refused() {
        let [a, b] = ["a", "b"]
            .map(|name| SetReminder { name: name.into(), ..with_reminder().reminders.remove(0) });
        let decode_of = |reminders| {
            let bytes = encode(&id(), &Snapshot { reminders, ..snapshot() });
            decode("c|1|A", SequenceNr::new(300), &bytes.into())
        };
        assert!(decode_of(vec![a.clone(), a.clone(), b.clone()]).is_ok());
        assert_eq!(decode_of(vec![b, a]).unwrap_err(), "its reminders are not in order");
        let mut none = encode(&id(), &snapshot());
        none.truncate(none.len() - SEAL_BYTES);
        none[0] = WITH_REMINDERS;
        none.push(0);
        seal(key("c|1|A", SequenceNr::new(300)), &mut none);
        let refused = decode("c|1|A", SequenceNr::new(300), &none.into()).unwrap_err();
        assert!(refused.contains("it has none"), "{refused}");
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
