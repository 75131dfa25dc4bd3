//! The record of labels, a part of other records.
//!
//! | field | form |
//! |---|---|
//! | entry count of the metadata | number |
//! | per entry, sorted by key: key, value | texts |
//! | tag count | number |
//! | per tag, sorted | text |

use crate::event::{Labels, Metadata};

use super::bytes::{Reader, Unreadable, number_bytes, put_bytes, put_number, text_bytes};

/// Adds metadata to a record.
pub fn put_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    put_number(out, metadata.iter().len() as u64);
    for (key, value) in metadata.iter() {
        put_bytes(out, key.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

/// Reads metadata within a record.
///
/// # Errors
/// The reason why the bytes are unreadable.
pub fn get_metadata(reader: &mut Reader<'_>) -> Result<Metadata, Unreadable> {
    let mut entries: Vec<(Box<str>, Box<str>)> = Vec::new();
    let mut last = "";
    for _ in 0..reader.number()? {
        let (key, value) = (reader.text()?, reader.text()?);
        if key <= last {
            return Err("a key of metadata is empty, or out of order");
        }
        last = key;
        entries.push((key.into(), value.into()));
    }
    Metadata::read(entries).map_err(|_| "metadata is longer than it can be")
}

/// Adds labels to a record.
pub fn put(out: &mut Vec<u8>, labels: &Labels) {
    put_metadata(out, labels.metadata());
    put_number(out, labels.tags().iter().len() as u64);
    for tag in labels.tags().iter() {
        put_bytes(out, tag.as_bytes());
    }
}

/// Number of bytes that [`put`] adds.
pub fn encoded_bytes(labels: &Labels) -> usize {
    let entry = |(key, value): (&str, &str)| text_bytes(key.len()) + text_bytes(value.len());
    let (entries, tags) = (labels.metadata().iter(), labels.tags().iter());
    number_bytes(entries.len() as u64)
        + number_bytes(tags.len() as u64)
        + entries.map(entry).sum::<usize>()
        + tags.map(|tag| text_bytes(tag.len())).sum::<usize>()
}

/// Reads labels within a record. Labels that are written have metadata or a tag.
///
/// # Errors
/// The reason why the bytes are unreadable.
pub fn get(reader: &mut Reader<'_>) -> Result<Labels, Unreadable> {
    let metadata = get_metadata(reader)?;
    let mut tags: Vec<&str> = Vec::new();
    for _ in 0..reader.number()? {
        let tag = reader.text()?;
        if tags.last().is_some_and(|last| tag <= *last) {
            return Err("a tag is out of order");
        }
        tags.push(tag);
    }
    let labels = Labels::read(metadata, tags.into_iter().collect())?;
    if labels.is_empty() {
        return Err("the labels are empty");
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(entries: &[(&str, &str)], tags: &[&str]) -> Labels {
        let with = |all: Metadata, (key, value): &(&str, &str)| all.with(*key, *value);
        let metadata = entries.iter().try_fold(Metadata::new(), with).unwrap();
        Labels::new(metadata, tags.iter().copied().collect()).unwrap()
    }

    fn encoded(labels: &Labels) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, labels);
        assert_eq!(out.len(), encoded_bytes(labels));
        out
    }

    #[test]
    fn labels_have_these_bytes_and_are_read_back() {
        let both = labels(&[("k", "vw"), ("a", "")], &["t", "s"]);
        let golden = [2, 1, b'a', 0, 1, b'k', 2, b'v', b'w', 2, 1, b's', 1, b't'];
        assert_eq!(encoded(&both), golden);
        for labels in [both, labels(&[("k", "v")], &[]), labels(&[], &["t"])] {
            assert_eq!(get(&mut Reader(&encoded(&labels))), Ok(labels));
        }
    }

    #[test]
    fn labels_that_no_encoder_writes_are_not_read() {
        let mut many = vec![0];
        put_number(&mut many, 1025);
        (0..1025).for_each(|tag| put_bytes(&mut many, format!("{tag:04}").as_bytes()));
        for wrong in [
            &[0, 0][..],
            &[2, 1, b'k', 0, 1, b'a', 0, 0],
            &[2, 1, b'a', 0, 1, b'a', 0, 0],
            &[1, 0, 0, 0],
            &[0, 2, 1, b't', 1, b's'],
            &[0, 2, 1, b't', 1, b't'],
            &[0, 1, 0],
            &[0, 1, 1, 0xff],
            &many,
            &[0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert!(get(&mut Reader(wrong)).is_err(), "{wrong:?}");
        }
    }
}
