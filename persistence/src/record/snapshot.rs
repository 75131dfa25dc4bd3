//! The record of a snapshot.
//!
//! | field | form |
//! |---|---|
//! | format | byte: 2 plain, 3 with reminders alone, 4 with sections |
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
//! | format 4: section count, at least one | number |
//! | per section, tags rising: tag, content | number, blob |
//! | checksum of stream, sequence nr and all of the above | 8 bytes, lowest first |

//!
//! | section | tag | content |
//! |---|---|---|
//! | reminders | 1 | as in format 3 |
//! | metadata | 2 | [`super::labels`], the metadata alone |
//! | requests, oldest first | 3 | [`super::requests`] |
//!
//! A snapshot gets the lowest format that can hold it, so one that has no new part keeps its bytes.
//! A record with a section that this version does not know is refused: its state may be of use, but
//! a part of the entity would be lost.

use antiphon_base::time::Timestamp;
use bytes::Bytes;

use super::bytes::{Reader, Unreadable, put_bytes, put_number};
use super::checksum::{Checksum, SEAL_BYTES, open, seal};
use super::{labels, requests, version};
use crate::event::{Metadata, Payload, SequenceNr};
use crate::identity::PersistenceId;
use crate::store::{SetReminder, Snapshot};

/// The format of a snapshot without reminders, which every version reads.
const PLAIN: u8 = 2;
/// The format of a snapshot with reminders and no other section.
const WITH_REMINDERS: u8 = 3;
/// The format of a snapshot with sections.
const WITH_SECTIONS: u8 = 4;

/// The section of the reminders.
const REMINDERS: u64 = 1;
/// The section of the metadata.
const METADATA: u64 = 2;
/// The section of the requests.
const REQUESTS: u64 = 3;

fn key(stream: &str, sequence_nr: SequenceNr) -> Checksum {
    let mut key = Checksum::of("snapshots");
    key.text(stream).number(sequence_nr.value());
    key
}

/// The record of a snapshot of a stream.
pub fn encode(persistence_id: &PersistenceId, snapshot: &Snapshot) -> Vec<u8> {
    let Snapshot { sequence_nr, version, positions, timestamp, state, reminders, .. } = snapshot;
    let mut out = Vec::with_capacity(state.bytes.len() + 128);
    let format = format_of(snapshot);
    out.push(format);
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
    match format {
        WITH_REMINDERS => put_reminders(&mut out, reminders),
        WITH_SECTIONS => put_sections(&mut out, snapshot),
        plain => assert_eq!(plain, PLAIN, "a format of this version"),
    }
    seal(key(persistence_id.as_str(), *sequence_nr), &mut out);
    out
}

/// The lowest format that can hold the snapshot.
fn format_of(snapshot: &Snapshot) -> u8 {
    let has_sections = !snapshot.metadata.is_empty() || !snapshot.requests.is_empty();
    match (has_sections, snapshot.reminders.is_empty()) {
        (false, true) => PLAIN,
        (false, false) => WITH_REMINDERS,
        (true, _) => WITH_SECTIONS,
    }
}

fn put_sections(out: &mut Vec<u8>, snapshot: &Snapshot) {
    let mut sections: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut add = |tag, put: &dyn Fn(&mut Vec<u8>)| {
        let mut content = Vec::new();
        put(&mut content);
        sections.push((tag, content));
    };
    if !snapshot.reminders.is_empty() {
        add(REMINDERS, &|out| put_reminders(out, &snapshot.reminders));
    }
    if !snapshot.metadata.is_empty() {
        add(METADATA, &|out| labels::put_metadata(out, &snapshot.metadata));
    }
    if !snapshot.requests.is_empty() {
        add(REQUESTS, &|out| requests::put(out, &snapshot.requests));
    }
    assert!(sections.is_sorted_by_key(|(tag, _)| *tag), "tags rise");
    put_number(out, sections.len() as u64);
    for (tag, content) in sections {
        put_number(out, tag);
        put_bytes(out, &content);
    }
}

/// Reads the sections into the snapshot.
fn get_sections(reader: &mut Reader<'_>, snapshot: &mut Snapshot) -> Result<(), Unreadable> {
    let mut last = 0;
    for _ in 0..reader.number()? {
        let tag = reader.number()?;
        if tag <= last {
            return Err("its sections are not in order");
        }
        last = tag;
        let mut content = Reader(reader.bytes()?);
        match tag {
            REMINDERS => snapshot.reminders = get_reminders(&mut content)?,
            METADATA => snapshot.metadata = labels::get_metadata(&mut content)?,
            REQUESTS => snapshot.requests = requests::get(&mut content)?,
            _ => return Err("it has a section of a newer version, which this version cannot read"),
        }
        content.end()?;
    }
    if format_of(snapshot) != WITH_SECTIONS {
        return Err("its format is that of sections, and it has none that needs them");
    }
    Ok(())
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
    let format = match bytes.first() {
        Some(format @ &(PLAIN | WITH_REMINDERS | WITH_SECTIONS)) => *format,
        Some(_) => return Err("its format is none of 2, 3 and 4, which this version can read"),
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
    let (reminders, metadata, requests) = (Vec::new(), Metadata::new(), Vec::new());
    let mut snapshot = Snapshot {
        sequence_nr,
        version,
        positions,
        timestamp,
        state,
        reminders,
        metadata,
        requests,
    };
    match format {
        WITH_REMINDERS => snapshot.reminders = get_reminders(&mut reader)?,
        WITH_SECTIONS => get_sections(&mut reader, &mut snapshot)?,
        plain => assert_eq!(plain, PLAIN, "a format that was just admitted"),
    }
    reader.end()?;
    Ok(snapshot)
}

fn put_reminders(out: &mut Vec<u8>, reminders: &[SetReminder]) {
    put_number(out, reminders.len() as u64);
    reminders.iter().for_each(|reminder| put_reminder(out, reminder));
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
            metadata: Metadata::new(),
            requests: Vec::new(),
        }
    }

    fn with_metadata() -> Snapshot {
        Snapshot { metadata: Metadata::new().with("k", "v").unwrap(), ..snapshot() }
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
        let both = Snapshot { metadata: with_metadata().metadata, ..with_reminder() };
        for snapshot in [snapshot(), with_reminder(), with_metadata(), both] {
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

    /// The record of the plain snapshot with this format and these bytes behind its state.
    fn record(format: u8, behind: &[u8]) -> Bytes {
        let mut out = encode(&id(), &snapshot());
        out.truncate(out.len() - SEAL_BYTES);
        out[0] = format;
        out.extend_from_slice(behind);
        seal(key("c|1|A", SequenceNr::new(300)), &mut out);
        out.into()
    }

    #[test]
    fn metadata_stands_in_a_section_of_format_4() {
        let golden = record(WITH_SECTIONS, &[1, 2, 5, 1, 1, b'k', 1, b'v']);
        assert_eq!(encode(&id(), &with_metadata()), golden);
        let both = Snapshot { metadata: with_metadata().metadata, ..with_reminder() };
        let sections = [2, 1, 10, 1, 1, b'n', 3, 4, 5, 1, b'A', 6, 7, 2, 5, 1, 1, b'k', 1, b'v'];
        assert_eq!(encode(&id(), &both), record(WITH_SECTIONS, &sections));
    }

    #[test]
    fn a_section_that_this_version_does_not_know_is_refused_as_such() {
        let decode = |behind: &[u8]| {
            decode("c|1|A", SequenceNr::new(300), &record(WITH_SECTIONS, behind)).unwrap_err()
        };
        assert!(decode(&[1, 9, 0]).contains("a section of a newer version"));
        assert!(decode(&[2, 2, 5, 1, 1, b'k', 1, b'v', 9, 1, 7]).contains("of a newer version"));
        assert!(decode(&[0]).contains("it has none that needs them"));
        assert!(
            decode(&[1, 1, 10, 1, 1, b'n', 3, 4, 5, 1, b'A', 6, 7]).contains("none that needs")
        );
        let twice = [2, 2, 5, 1, 1, b'k', 1, b'v', 2, 5, 1, 1, b'k', 1, b'v'];
        assert!(decode(&twice).contains("not in order"));
        let too_long = [1, 2, 6, 1, 1, b'k', 1, b'v', 0];
        assert!(!decode(&too_long).is_empty(), "bytes behind the content of a section");
        let refused = super::decode("c|1|A", SequenceNr::new(300), &record(5, &[])).unwrap_err();
        assert!(refused.contains("none of 2, 3 and 4"), "{refused}");
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
