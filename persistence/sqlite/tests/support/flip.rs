//! Copies of a journal file with one bit flipped, in any column of a row.

use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{Connection, ToSql, params_from_iter};

/// Makes damaged copies of a file.
pub(crate) struct Flipper {
    sound: PathBuf,
    folder: PathBuf,
    count: u64,
}

/// A value with its type. Text is kept as bytes, so that any bytes can be written.
#[derive(Clone)]
enum Column {
    Number(i64),
    Bytes(Vec<u8>),
    Text(Vec<u8>),
}

impl ToSql for Column {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self {
            Self::Number(number) => Value::Integer(*number),
            Self::Bytes(bytes) | Self::Text(bytes) => Value::Blob(bytes.clone()),
        }))
    }
}

impl Flipper {
    /// Copies `journal.db` of the folder as it is now.
    pub(crate) fn of(folder: &Path) -> Self {
        let sound = folder.join("sound.db");
        let journal = Connection::open(folder.join("journal.db")).expect("the journal opens");
        let sql = "VACUUM INTO ?1";
        journal.execute(sql, [sound.to_str().expect("a path in UTF-8")]).expect("a copy");
        Self { sound, folder: folder.to_path_buf(), count: 0 }
    }

    /// Makes a copy with another flipped bit. Returns the name of the bit, and the path.
    pub(crate) fn flip(&mut self, tables: &[&str], choice: u64) -> (String, PathBuf) {
        let path = |count: u64| self.folder.join(format!("damaged-{count}.db"));
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", path(self.count).display()));
        }
        self.count += 1;
        let path = path(self.count);
        std::fs::copy(&self.sound, &path).expect("a copy");
        let connection = Connection::open(&path).expect("the copy opens");
        let mut random = choice;
        loop {
            if let Some(what) = try_flip(&connection, tables, &mut random) {
                return (what, path);
            }
        }
    }
}

fn below(random: &mut u64, end: usize) -> usize {
    // Knuth's linear congruential generator, whose high bits are good
    *random =
        random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*random >> 33).expect("31 bits") % end.max(1)
}

/// Flips one bit. `None` when the database refuses it, because another row has the same key.
fn try_flip(connection: &Connection, tables: &[&str], random: &mut u64) -> Option<String> {
    let table = tables[below(random, tables.len())];
    let columns = columns(connection, table);
    let rows = rows(connection, table, &columns);
    let row = rows[below(random, rows.len())].clone();
    let at = below(random, columns.len());
    let mut damaged = row[at].clone();
    let bit = match &mut damaged {
        Column::Number(number) => {
            let bit = below(random, 64);
            *number ^= 1 << bit;
            bit
        }
        Column::Bytes(bytes) | Column::Text(bytes) => {
            if bytes.is_empty() {
                return None;
            }
            let bit = below(random, bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            bit
        }
    };
    let value = |column: &Column, index: usize| match column {
        Column::Text(_) => format!("CAST(?{index} AS TEXT)"),
        Column::Number(_) | Column::Bytes(_) => format!("?{index}"),
    };
    let is = |(index, (name, _)): (usize, &(String, String))| {
        format!("{name} IS {}", value(&row[index], index + 2))
    };
    let all: Vec<String> = columns.iter().enumerate().map(is).collect();
    let (name, set) = (&columns[at].0, value(&damaged, 1));
    let sql = format!("UPDATE {table} SET {name} = {set} WHERE {}", all.join(" AND "));
    let values = std::iter::once(&damaged).chain(&row);
    match connection.execute(&sql, params_from_iter(values)) {
        Ok(changed) => {
            assert_eq!(changed, 1, "{sql}");
            Some(format!("bit {bit} of `{name}` of a row of `{table}`"))
        }
        Err(_) => None,
    }
}

fn columns(connection: &Connection, table: &str) -> Vec<(String, String)> {
    let sql = format!("SELECT name, type FROM pragma_table_info('{table}')");
    let mut statement = connection.prepare(&sql).expect("the table");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.expect("the columns").collect::<rusqlite::Result<_>>().expect("the columns")
}

fn rows(connection: &Connection, table: &str, columns: &[(String, String)]) -> Vec<Vec<Column>> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| &**name).collect();
    let sql = format!("SELECT {} FROM {table} ORDER BY 1, 2", names.join(", "));
    let mut statement = connection.prepare(&sql).expect("the table");
    let read = |row: &rusqlite::Row<'_>| {
        let value = |(index, (_, of)): (usize, &(String, String))| {
            Ok(match of.as_str() {
                "INTEGER" => Column::Number(row.get(index)?),
                "TEXT" => Column::Text(row.get::<_, String>(index)?.into_bytes()),
                _ => Column::Bytes(row.get(index)?),
            })
        };
        columns.iter().enumerate().map(value).collect::<rusqlite::Result<Vec<_>>>()
    };
    let rows = statement.query_map([], read).expect("the rows");
    rows.collect::<rusqlite::Result<_>>().expect("the rows")
}
