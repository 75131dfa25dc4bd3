//! Statements on positions and on coordination tables.

use std::sync::Arc;

use antiphon_persistence::record::checksum::{Checksum, DAMAGED};
use async_trait::async_trait;
use bytes::Bytes;
use scylla::statement::batch::{Batch, BatchType};
use scylla::value::CqlValue;

use super::execute::CqlTables;
use super::numbers::{signed, unsigned};
use super::refusal::refusal;
use super::sessions::Use;
use crate::damaged::damaged;
use crate::tables::{Cell, CellTables, CellWrite, Cells, Failed, Outcome, check_write};

#[async_trait]
impl CellTables for CqlTables {
    async fn put_offset(&self, reader: &str, part: &str, position: &str) -> Outcome<()> {
        self.run(&self.statements.put_offset, (&self.place, reader, part, position)).await
    }

    async fn offsets(&self) -> Outcome<Vec<(String, String, String)>> {
        let rows: Vec<(String, String, String, String)> =
            self.all_rows(&self.statements.offsets, ()).await?;
        let own = rows.into_iter().filter(|(place, ..)| *place == self.place);
        Ok(own.map(|(_, reader, part, position)| (reader, part, position)).collect())
    }

    async fn offset(&self, reader: &str, part: &str) -> Outcome<Option<String>> {
        let rows: Vec<(String,)> =
            self.rows(&self.statements.offset, (&self.place, reader, part)).await?;
        Ok(rows.into_iter().next().map(|(position,)| position))
    }

    async fn cell_tables(&self) -> Outcome<Vec<Arc<str>>> {
        let rows: Vec<(String, String)> = self.all_rows(&self.statements.cell_tables, ()).await?;
        let own = rows.into_iter().filter(|(place, _)| *place == self.place);
        Ok(own.map(|(_, table)| table.into()).collect())
    }

    async fn cells(&self, table: &str) -> Outcome<Cells> {
        type Columns = (Option<String>, Option<i64>, Option<i64>, Option<i64>, Option<Bytes>);
        let rows: Vec<Columns> =
            self.all_rows(&self.statements.cells, (&self.place, table)).await?;
        let mut cells = Cells::default();
        for (key, token, sum, version, value) in rows {
            if sum != token.map(|token| token_sum(table, token)) {
                let error = damaged("cells", &format!("`fencing_token` of `{table}`"), DAMAGED);
                return Err(Failed { unknown: false, error });
            }
            cells.token = token.map(unsigned);
            // a partition with a token and no rows returns one row without a key
            if let (Some(key), Some(version)) = (key, version) {
                let (version, value) = (unsigned(version), value.unwrap_or_default());
                cells.rows.push(Cell { key: key.into(), version, value });
            }
        }
        Ok(cells)
    }

    async fn cell(&self, table: &str, key: &str) -> Outcome<Option<Cell>> {
        type Columns = (String, Option<i64>, Option<Bytes>);
        let rows: Vec<Columns> =
            self.rows(&self.statements.cell, (&self.place, table, key)).await?;
        Ok(rows.into_iter().next().and_then(|(key, version, value)| {
            let (version, value) = (unsigned(version?), value.unwrap_or_default());
            Some(Cell { key: key.into(), version, value })
        }))
    }

    async fn write_cells(
        &self,
        table: &str,
        token: Option<(Option<u64>, u64)>,
        writes: &[CellWrite],
    ) -> Outcome<bool> {
        check_write(table, token, writes);
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(false);
        let mut values: Vec<Vec<Option<CqlValue>>> = Vec::new();
        let text = |text: &str| Some(CqlValue::Text(text.to_owned()));
        let number = |number: u64| Some(CqlValue::BigInt(signed(number)));
        let (name, place, table) = (table, text(&self.place), text(table));
        if let Some((expected, new)) = token {
            batch.append_statement(self.statements.set_token.prepared.clone());
            let sum = Some(CqlValue::BigInt(token_sum(name, signed(new))));
            let expected = expected.and_then(number);
            values.push(vec![number(new), sum, place.clone(), table.clone(), expected]);
        }
        for CellWrite { key, expected, value } in writes {
            let key = text(key);
            let blob = |value: &Bytes| Some(CqlValue::Blob(value.to_vec()));
            let (of, bound) = match (expected, value) {
                (None, Some((version, value))) => (
                    &self.statements.insert_cell,
                    vec![place.clone(), table.clone(), key, number(*version), blob(value)],
                ),
                (Some(expected), Some((version, value))) => (
                    &self.statements.update_cell,
                    vec![
                        number(*version),
                        blob(value),
                        place.clone(),
                        table.clone(),
                        key,
                        number(*expected),
                    ],
                ),
                (Some(expected), None) => (
                    &self.statements.delete_cell,
                    vec![place.clone(), table.clone(), key, number(*expected)],
                ),
                (None, None) => continue,
            };
            batch.append_statement(of.prepared.clone());
            values.push(bound);
        }
        let session = self.sessions.get(Use::Coordination);
        let batch = session.batch(&batch, values);
        let outcome =
            self.noted("write_cells", &self.write_cells, Use::Coordination, batch).await?;
        Ok(refusal("write_cells", outcome)?.is_none())
    }
}

/// The checksum of a table's fencing token.
fn token_sum(table: &str, token: i64) -> i64 {
    Checksum::of("tokens").text(table).signed(token).stored()
}
