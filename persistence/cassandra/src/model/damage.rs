//! Damaged rows of the model: one bit of a row is flipped.

use bytes::Bytes;

use super::{Data, ModelTables};

/// Kind of the damaged rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Rounds of the log and rows of events.
    Journal,
    /// Snapshots.
    Snapshots,
    /// Coordination.
    Cells,
    /// Positions of readers.
    Offsets,
    /// Reminders.
    Reminders,
}

impl ModelTables {
    /// Returns a copy of the data with one flipped bit, and the name of that bit. `None` when there
    /// is no such row. `choice` selects row and bit.
    pub fn damaged(&self, damage: Damage, choice: u64) -> Option<(String, Self)> {
        let mut data = self.data().clone();
        let (what, record) = match damage {
            Damage::Journal => pick(journal(&mut data), choice),
            Damage::Snapshots => {
                let rows = data.snapshots.iter_mut();
                pick(rows.map(|(key, record)| (format!("snapshot {key:?}"), record)), choice)
            }
            Damage::Cells => {
                let tables = data.cells.iter_mut();
                let rows = tables.flat_map(|(table, cells)| {
                    cells.rows.iter_mut().map(move |cell| {
                        (format!("row `{}` of `{table}`", cell.key), &mut cell.value)
                    })
                });
                pick(rows, choice)
            }
            Damage::Offsets => {
                return data.damage_offset(choice).map(|what| (what, Self::of(data)));
            }
            Damage::Reminders => {
                return data.damage_reminder(choice).map(|what| (what, Self::of(data)));
            }
        }?;
        let mut bytes = record.to_vec();
        let bit = usize::try_from(choice >> 20).unwrap_or(0) % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        *record = bytes.into();
        Some((format!("bit {bit} of {what}"), Self::of(data)))
    }

    fn of(data: Data) -> Self {
        Self { data: std::sync::Arc::new(parking_lot::Mutex::new(data)) }
    }
}

fn journal(data: &mut Data) -> impl Iterator<Item = (String, &mut Bytes)> {
    let Data { parts, events, .. } = data;
    let rounds = parts.iter_mut().flat_map(|((lane, part), of)| {
        of.rounds
            .iter_mut()
            .map(move |(nr, record)| (format!("round {lane:?}/{part}/{nr}"), record))
    });
    let events = events.values_mut().flat_map(|rows| {
        rows.values_mut().map(|row| {
            (format!("events {} to {} of `{}`", row.first, row.last, row.stream), &mut row.record)
        })
    });
    rounds.chain(events)
}

fn pick<'a>(
    rows: impl Iterator<Item = (String, &'a mut Bytes)>,
    choice: u64,
) -> Option<(String, &'a mut Bytes)> {
    let mut rows: Vec<_> = rows.filter(|(_, record)| !record.is_empty()).collect();
    let count = u64::try_from(rows.len()).ok().filter(|count| *count > 0)?;
    let index = usize::try_from(choice % count).ok()?;
    Some(rows.swap_remove(index))
}

impl Data {
    /// Flips a bit of the checksum of a row: the rest is its key, under which it is found.
    fn damage_reminder(&mut self, choice: u64) -> Option<String> {
        let parts = self.reminders.rows.values_mut();
        let rows = parts.flat_map(|rows| rows.iter_mut());
        let mut rows: Vec<_> =
            rows.filter_map(|(key, row)| Some((key, row.value.as_mut()?))).collect();
        let count = u64::try_from(rows.len()).ok().filter(|count| *count > 0)?;
        let (key, sum) = rows.swap_remove(usize::try_from(choice % count).ok()?);
        let bit = (choice >> 20) % 64;
        *sum ^= 1 << bit;
        Some(format!("bit {bit} of the checksum of {key:?}"))
    }

    /// Flips one of the low seven bits of a byte, so that the position stays a text.
    fn damage_offset(&mut self, choice: u64) -> Option<String> {
        let count = u64::try_from(self.offsets.len()).ok().filter(|count| *count > 0)?;
        let index = usize::try_from(choice % count).ok()?;
        let (key, position) = self.offsets.iter_mut().nth(index)?;
        let mut bytes = position.clone().into_bytes();
        let bit = usize::try_from(choice >> 20).unwrap_or(0) % (bytes.len() * 7);
        bytes[bit / 7] ^= 1 << (bit % 7);
        *position = String::from_utf8(bytes).ok()?;
        Some(format!("bit {bit} of the position of {key:?}"))
    }
}
