//! Bits of stored rows, flipped on a real server and flipped back.

use antiphon_cassandra::cql::ServerSettings;
use antiphon_persistence_tck::DamagedRows;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlValue, Row};

/// A table with its key, without the place, and the column that is damaged.
struct Table {
    name: &'static str,
    key: &'static [&'static str],
    column: &'static str,
}

const LOG: Table = Table { name: "log", key: &["writer", "lane", "part", "nr"], column: "record" };
const EVENTS: Table =
    Table { name: "events", key: &["stream", "part", "first", "last"], column: "record" };
const SNAPSHOTS: Table =
    Table { name: "snapshots", key: &["stream", "sequence_nr"], column: "record" };
const CELLS: Table = Table { name: "cells", key: &["cell_table", "cell_key"], column: "value" };
const REMINDERS: Table = Table {
    name: "reminders",
    key: &["entity_type", "hour", "due", "stream", "name", "set_by"],
    column: "checksum",
};
const OFFSETS: Table = Table { name: "offsets", key: &["reader", "part"], column: "position" };

/// A value as it was before a flip, with its table and key.
type Before = (&'static Table, Vec<CqlValue>, CqlValue);

/// Damages rows of one place.
pub(crate) struct Flipper {
    session: Session,
    server: ServerSettings,
    before: Option<Before>,
}

impl Flipper {
    pub(crate) async fn new(server: &ServerSettings) -> Self {
        let session = SessionBuilder::new().known_nodes(&server.contact_points).build().await;
        let session = session.unwrap_or_else(|error| panic!("{error}"));
        Self { session, server: server.clone(), before: None }
    }

    /// Flips the last bit back, and another bit. Returns the name of that bit, and whether an open
    /// session sees it.
    pub(crate) async fn flip(&mut self, rows: DamagedRows, choice: u64) -> (String, bool) {
        if let Some((table, key, value)) = self.before.take() {
            self.write(table, &key, value).await;
        }
        let table = match rows {
            // sessions remember the rounds of the log that they have read
            DamagedRows::Journal if choice.is_multiple_of(8) => &LOG,
            DamagedRows::Journal => &EVENTS,
            DamagedRows::Snapshots => &SNAPSHOTS,
            DamagedRows::Coordination => &CELLS,
            DamagedRows::Offsets => &OFFSETS,
            DamagedRows::Reminders => &REMINDERS,
        };
        let mut rows = self.rows(table).await;
        let pick = |of: usize, from: u32| usize::try_from(choice >> from).expect("64 bits") % of;
        let row = rows.swap_remove(pick(rows.len(), 8));
        let (key, value) = row.split_at(table.key.len());
        let value = value[0].clone();
        let (damaged, bit) = if let CqlValue::Blob(mut bytes) = value.clone() {
            let bit = pick(bytes.len() * 8, 24);
            bytes[bit / 8] ^= 1 << (bit % 8);
            (CqlValue::Blob(bytes), bit)
        } else if let CqlValue::BigInt(number) = value {
            let bit = pick(64, 24);
            (CqlValue::BigInt(number ^ 1 << bit), bit)
        } else {
            let CqlValue::Text(text) = value.clone() else { panic!("{value:?}") };
            let mut bytes = text.into_bytes();
            let bit = pick(bytes.len() * 7, 24);
            bytes[bit / 7] ^= 1 << (bit % 7);
            (CqlValue::Text(String::from_utf8(bytes).expect("seven bits")), bit)
        };
        self.write(table, key, damaged).await;
        let what = format!("bit {bit} of `{}` of row {key:?} of `{}`", table.column, table.name);
        self.before = Some((table, key.to_vec(), value));
        (what, table.name != LOG.name)
    }

    /// The rows of the place that have a value, in a stable order.
    async fn rows(&self, table: &Table) -> Vec<Vec<CqlValue>> {
        let cql = format!(
            "SELECT {}, {} FROM {}.{} WHERE place = ? ALLOW FILTERING",
            table.key.join(", "),
            table.column,
            self.server.keyspace,
            table.name
        );
        let rows = self.session.query_unpaged(cql, (&self.server.place,)).await;
        let rows = rows.unwrap_or_else(|error| panic!("{error}")).into_rows_result();
        let rows = rows.unwrap_or_else(|error| panic!("{error}"));
        let mut rows: Vec<Vec<CqlValue>> = rows
            .rows::<Row>()
            .unwrap_or_else(|error| panic!("{error}"))
            .filter_map(|row| row.ok()?.columns.into_iter().collect())
            .collect();
        rows.sort_by_key(|row| format!("{:?}", &row[..table.key.len()]));
        assert!(!rows.is_empty(), "no rows in `{}`", table.name);
        rows
    }

    async fn write(&self, table: &Table, key: &[CqlValue], value: CqlValue) {
        let key_is: String = table.key.iter().map(|column| format!(" AND {column} = ?")).collect();
        let cql = format!(
            "UPDATE {}.{} SET {} = ? WHERE place = ?{key_is}",
            self.server.keyspace, table.name, table.column
        );
        let place = CqlValue::Text(self.server.place.clone());
        let values: Vec<CqlValue> = [value, place].into_iter().chain(key.iter().cloned()).collect();
        let written = self.session.query_unpaged(cql, values).await;
        written.unwrap_or_else(|error| panic!("{error}"));
    }
}
