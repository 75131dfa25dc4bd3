//! The record of a version vector.
//!
//! | field | form |
//! |---|---|
//! | entry count | number |
//! | per entry: replica id, counter | text, number |

use crate::identity::ReplicaId;
use crate::version::VersionVector;

use super::bytes::{Reader, Unreadable, number_bytes, put_bytes, put_number, text_bytes};

/// The record of a version.
pub fn encode(version: &VersionVector) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    put(&mut out, version);
    out
}

/// The version of a record.
///
/// # Errors
/// The reason why the bytes are unreadable.
pub fn decode(bytes: &[u8]) -> Result<VersionVector, Unreadable> {
    let mut reader = Reader(bytes);
    let version = get(&mut reader)?;
    reader.end()?;
    Ok(version)
}

/// Adds a version to a record.
pub fn put(out: &mut Vec<u8>, version: &VersionVector) {
    put_number(out, version.iter().count() as u64);
    for (replica, counter) in version.iter() {
        put_bytes(out, replica.as_str().as_bytes());
        put_number(out, counter);
    }
}

/// Number of bytes that [`put`] adds.
pub fn encoded_bytes(version: &VersionVector) -> usize {
    let entry = |(replica, counter): (&ReplicaId, u64)| {
        text_bytes(replica.as_str().len()) + number_bytes(counter)
    };
    number_bytes(version.iter().count() as u64) + version.iter().map(entry).sum::<usize>()
}

/// Reads a version within a record.
///
/// # Errors
/// The reason why the bytes are unreadable.
pub fn get(reader: &mut Reader<'_>) -> Result<VersionVector, Unreadable> {
    read(reader, |reader| replica_named(reader.bytes()?))
}

/// Reads a version whose replica ids are read by `replica`.
#[inline]
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    mut replica: impl FnMut(&mut Reader<'a>) -> Result<ReplicaId, Unreadable>,
) -> Result<VersionVector, Unreadable> {
    let mut version = VersionVector::new();
    for _ in 0..reader.number()? {
        let replica = replica(reader)?;
        if !version.add_last(replica, reader.number()?) {
            return Err("an origin of a version is out of order, or its counter is zero");
        }
    }
    Ok(version)
}

/// The replica id with this name, which may be empty.
pub(super) fn replica_named(name: &[u8]) -> Result<ReplicaId, Unreadable> {
    let name = std::str::from_utf8(name).map_err(|_| "a text is not UTF-8")?;
    if name.is_empty() {
        return Ok(ReplicaId::empty());
    }
    ReplicaId::new(name).map_err(|_| "a replica id is not allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When such a record was sorted instead, each origin was moved behind all others: a record of
    /// 8 MB took hours.
    #[test]
    fn a_version_that_no_encoder_writes_is_not_read() {
        let record = |entries: &[(&str, u64)]| {
            let mut record = Vec::new();
            put_number(&mut record, entries.len() as u64);
            for (origin, counter) in entries {
                put_bytes(&mut record, origin.as_bytes());
                put_number(&mut record, *counter);
            }
            record
        };
        assert!(decode(&record(&[("A", 1), ("B", 2)])).is_ok());
        for wrong in [&[("B", 1), ("A", 2)][..], &[("A", 1), ("A", 2)], &[("A", 0)]] {
            let why = decode(&record(wrong)).unwrap_err();
            assert!(why.contains("out of order"), "{wrong:?}: {why}");
        }
    }
}
