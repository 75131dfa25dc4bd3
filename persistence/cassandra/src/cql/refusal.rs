//! The row that refused a conditional statement.

use scylla::response::query_result::QueryResult;
use scylla::value::{CqlValue, Row};

use super::error::unreadable;
use super::numbers::unsigned;
use crate::tables::Outcome;

/// The row that refused a conditional statement, with its columns by name.
pub(super) struct Refusal {
    names: Vec<String>,
    row: Row,
}

impl Refusal {
    pub(super) fn new(names: Vec<String>, row: Row) -> Self {
        Self { names, row }
    }

    pub(super) fn value(&self, name: &str) -> Option<&CqlValue> {
        let index = self.names.iter().position(|there| there == name)?;
        self.row.columns.get(index)?.as_ref()
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let value = self.value(name)?;
        value.as_bigint().or_else(|| value.as_int().map(i64::from)).map(unsigned)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.value(name).and_then(CqlValue::as_boolean).unwrap_or(false)
    }
}

/// Reads columns by name, and the first row only: ScyllaDB answers a batch with a row for each
/// statement.
pub(super) fn refusal(name: &str, result: QueryResult) -> Outcome<Option<Refusal>> {
    let rows = result.into_rows_result().map_err(|error| unreadable(name, error))?;
    let names = rows.column_specs().iter().map(|column| column.name().to_owned()).collect();
    let row = rows.first_row::<Row>().map_err(|error| unreadable(name, error))?;
    let refusal = Refusal::new(names, row);
    Ok(if refusal.flag("[applied]") { None } else { Some(refusal) })
}
