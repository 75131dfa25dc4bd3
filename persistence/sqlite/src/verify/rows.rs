//! The check of the rows besides the streams: snapshots, coordination, positions and writers.

use std::collections::HashMap;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::record::checksum::DAMAGED;
use antiphon_persistence::record::{cell, reminder, snapshot};
use antiphon_persistence::store::OffsetKey;
use bytes::Bytes;

use super::streams::Stream;
use super::walk::{Walk, Walked};
use crate::reminders::columns;
use crate::sums::{of_token, of_writer};

impl Walk<'_> {
    pub(super) fn snapshots(&mut self, streams: &HashMap<i64, Stream>) -> Walked<()> {
        let ends: HashMap<&str, u64> = streams
            .values()
            .map(|stream| (&*stream.name, stream.end.highest.unsigned_abs()))
            .collect();
        let sql = "SELECT persistence_id, sequence_nr, snapshot FROM snapshots";
        self.each("snapshots", sql, |report, row| {
            report.snapshots += 1;
            let (name, number): (String, i64) = (row.get(0)?, row.get(1)?);
            let record: Vec<u8> = row.get(2)?;
            let key = format!("snapshot {number} of `{}`", name.escape_debug());
            let number = u64::try_from(number).unwrap_or(0);
            let highest = ends.get(&*name).copied().unwrap_or(0);
            match snapshot::decode(&name, SequenceNr::new(number), &record.into()) {
                Err(why) => report.damaged("snapshots", key, why),
                Ok(_) if number > highest => {
                    let what = format!("its stream has events up to {highest} only");
                    report.damaged("snapshots", key, what);
                }
                Ok(_) => {}
            }
            Ok(())
        })
    }

    pub(super) fn coordination(&mut self) -> Walked<()> {
        let mut digests: HashMap<String, u64> = HashMap::new();
        let sql = "SELECT cell_table, cell_key, version, value FROM cells";
        self.each("cells", sql, |report, row| {
            report.other_rows += 1;
            let (table, key, version): (String, String, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let record: Vec<u8> = row.get(3)?;
            *digests.entry(table.clone()).or_default() ^= cell::checksum(&record);
            let number = u64::try_from(version).unwrap_or(u64::MAX);
            if let Err(why) = cell::decode(&table, &key, number, &Bytes::from(record)) {
                let key = format!("row `{}` of `{}`", key.escape_debug(), table.escape_debug());
                report.damaged("cells", key, why);
            }
            Ok(())
        })?;
        let sql = "SELECT cell_table, token, digest, checksum FROM tokens";
        self.each("tokens", sql, |report, row| {
            report.other_rows += 1;
            let (table, token, digest, sum): (String, i64, i64, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let rows = digests.remove(&table).unwrap_or(0);
            let key = format!("`{}`", table.escape_debug());
            if sum != of_token(&table, token, digest) {
                report.damaged("tokens", key, DAMAGED);
            } else if rows != digest.cast_unsigned() {
                report.damaged("cells", key, "its rows do not add up to what was written");
            }
            Ok(())
        })?;
        for (table, _) in digests.into_iter().filter(|(_, digest)| *digest != 0) {
            let key = format!("`{}`", table.escape_debug());
            self.report.damaged("tokens", key, "its row is missing");
        }
        Ok(())
    }

    pub(super) fn offsets(&mut self) -> Walked<()> {
        self.each("offsets", "SELECT reader, part, position FROM offsets", |report, row| {
            report.other_rows += 1;
            let (reader, part, record): (String, String, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let key = OffsetKey { reader: reader.into(), part: part.into() };
            if let Err(why) = cell::decode_position(&key, &record) {
                let (reader, part) = (key.reader.escape_debug(), key.part.escape_debug());
                report.damaged("offsets", format!("reader `{reader}`, part `{part}`"), why);
            }
            Ok(())
        })
    }

    /// Checks the reminders, and that those that events have set have their rows, if the file has
    /// their table: a file of an earlier build has none before an owner opens it.
    pub(super) fn reminders(&mut self) -> Walked<()> {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'reminders'";
        let tables: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
        if tables == 0 {
            return Ok(());
        }
        let sql = "SELECT due, persistence_id, name, set_by, checksum, entity_type FROM reminders";
        let mut reminders = std::mem::take(&mut self.reminders);
        self.each("reminders", sql, |report, row| {
            report.other_rows += 1;
            let (columns, entity_type): (_, String) = (columns(row)?, row.get(5)?);
            match reminder::decode(&entity_type, &columns) {
                Ok(row) => reminders.row(&row),
                Err(why) => {
                    let (id, name) = (columns.key.persistence_id, columns.key.name);
                    let key = format!("`{}` of `{}`", name.escape_debug(), id.escape_debug());
                    report.damaged("reminders", key, why);
                }
            }
            Ok(())
        })?;
        reminders.report(SystemClock.wall(), &mut self.report);
        Ok(())
    }

    pub(super) fn writers(&mut self) -> Walked<()> {
        self.each("writers", "SELECT writer, sealed, checksum FROM writers", |report, row| {
            report.other_rows += 1;
            let (writer, sealed, sum): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if sum != of_writer(&writer, sealed) {
                report.damaged("writers", format!("`{}`", writer.escape_debug()), DAMAGED);
            }
            Ok(())
        })
    }
}
