//! Rows in the bytes of the server's protocol, for the fuzzing in `fuzz`.

use antiphon_base::fuzzing::{Bounds, Check, Decoder, nothing_more};
use bytes::Bytes;
use scylla::deserialize::FrameSlice;
use scylla::deserialize::row::{ColumnIterator, DeserializeRow};
use scylla::frame::response::result::{ColumnSpec, ColumnType, NativeType, TableSpec};
use scylla::value::Row;

use super::log_tables::{WriterColumns, writer_row};
use super::refusal::Refusal;

/// Rows of the server.
pub const CQL: &[Decoder] = &[Decoder {
    name: "cql_row",
    decode: row,
    seeds: || {
        let values: [&[u8]; 5] = [b"node-1", &[0, 0, 0, 4], &[1], &[0], &[0; 8]];
        let cell = |value: &&[u8]| {
            let length = i32::try_from(value.len()).expect("a short value");
            [&length.to_be_bytes()[..], value].concat()
        };
        vec![values.iter().flat_map(cell).collect()]
    },
    bounds: Bounds::new(16 * 1024, 16),
}];

fn columns() -> Vec<ColumnSpec<'static>> {
    let table = TableSpec::borrowed("antiphon", "writers");
    let types = [
        ("writer", NativeType::Text),
        ("lanes", NativeType::Int),
        ("sealed", NativeType::Boolean),
        ("copied", NativeType::Boolean),
        ("ended_at", NativeType::BigInt),
    ];
    let column = |(name, of)| ColumnSpec::borrowed(name, ColumnType::Native(of), table.clone());
    types.map(column).into()
}

/// The row of a writer, by its columns and as the row that refused a statement.
fn row(bytes: &[u8]) -> Option<Check> {
    let (columns, bytes) = (columns(), Bytes::copy_from_slice(bytes));
    let cells = || ColumnIterator::new(&columns, FrameSlice::new(&bytes));
    let row = Row::deserialize(cells()).ok()?;
    let names = columns.iter().map(|column| column.name().to_owned()).collect();
    let refusal = Refusal::new(names, row);
    let writer = writer_row(WriterColumns::deserialize(cells()).ok()?);
    assert_eq!(writer.sealed, refusal.flag("sealed"), "two readers of one column");
    assert_eq!(writer.ended_at, refusal.number("ended_at").unwrap_or(0));
    Some(nothing_more(writer))
}
