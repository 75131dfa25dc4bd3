//! A file as a journal of any kind: the door for programs that take every store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon_base::{Error, ErrorKind, Result};
use antiphon_persistence::store::{
    Backend, Count, OpenBackend, Role, Row, StoreKind, Stores, Table, read_table, write_table,
};
use antiphon_persistence::verify::Report;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{SqliteSettings, SqliteStores, check_file, check_name, peek_row, real_path};

/// A journal in a file: its path and its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteJournal {
    /// The file; all nodes of the place use the same one.
    pub path: PathBuf,
    /// The settings of the file.
    pub settings: SqliteSettings,
}

impl SqliteJournal {
    /// The journal in the file at `path`.
    pub fn new(path: impl Into<PathBuf>, settings: SqliteSettings) -> Self {
        Self { path: path.into(), settings }
    }
}

/// SQLite as a kind of store: `{ kind = "sqlite", path = ".." }`, or the path alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteKind;

/// The name of the kind, and of the table of its settings.
const KIND: &str = "sqlite";

/// The keys of a journal's location.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Location {
    path: PathBuf,
}

fn location(table: &Table) -> Result<Location> {
    let location: Location = read_table(table)?;
    // the key of the location is `path`
    check_name(&location.path)
        .map_err(|error| Error::rejected(error.to_string().replace("`journal`", "`path`")))?;
    Ok(location)
}

impl StoreKind for SqliteKind {
    fn name(&self) -> &'static str {
        KIND
    }

    fn location_of_text(&self, text: &str) -> Option<Table> {
        Some(Table::from_iter([("path".to_owned(), text.into())]))
    }

    fn settings(&self, settings: &Table) -> Result<Table> {
        let settings: SqliteSettings = read_table(settings)?;
        settings.validate()?;
        write_table(&settings)
    }

    fn shown(&self, table: &Table) -> Result<Table> {
        write_table(&location(table)?)
    }

    fn journal(&self, _place: &str, table: &Table, settings: &Table) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(SqliteJournal::new(location(table)?.path, read_table(settings)?)))
    }

    fn local(&self, folder: &Path, place: &str, _run: &str, options: &Table) -> Result<Table> {
        if let Some(key) = options.keys().next() {
            return Err(Error::rejected(format!("`{key}`: an SQLite journal has no such key")));
        }
        write_table(&Location { path: folder.join(format!("{}.db", place.to_lowercase())) })
    }
}

#[async_trait]
impl Backend for SqliteJournal {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn identity(&self) -> Option<String> {
        // escaped, so that two paths that are no text stay different
        Some(format!("{:?}", real_path(&self.path)))
    }

    fn check(&self, role: Role) -> Result<()> {
        self.settings.validate()?;
        self.settings.role.check(self.kind(), role)?;
        match check_file(&self.path, role) {
            // another process may create the file later
            Err(error) if role == Role::Reader && error.kind() == ErrorKind::Unavailable => Ok(()),
            checked => checked,
        }
    }

    fn check_exists(&self) -> Result<()> {
        let path = &self.path;
        let is_there = path.try_exists().map_err(|error| {
            Error::unavailable(format!("`journal`: {path:?} cannot be looked at"))
                .with_source(error)
        })?;
        if !is_there {
            return Err(Error::rejected(format!(
                "`journal`: expected the journal of the place at {path:?}, actual no file: a relative path starts at the current folder"
            )));
        }
        // refuses a file without tables, in which an owner would make them
        check_file(path, Role::Reader)
    }

    fn peek_row(&self, table: &str, key: &str) -> Result<Option<Row>> {
        peek_row(&self.path, table, key)
    }

    async fn open(&self, role: Role) -> Result<Arc<dyn OpenBackend>> {
        self.settings.role.check(self.kind(), role)?;
        let settings = SqliteSettings { role, ..self.settings.clone() };
        Ok(Arc::new(SqliteStores::open(&self.path, settings)?))
    }
}

#[async_trait]
impl OpenBackend for SqliteStores {
    fn stores(&self) -> Stores {
        Self::stores(self)
    }

    fn check(&self) -> Result<()> {
        self.check_file()
    }

    fn trouble(&self) -> Option<String> {
        Self::trouble(self)
    }

    fn counts(&self) -> Vec<Count> {
        self.stats().named()
    }

    async fn verify(&self) -> Result<Report> {
        Self::verify(self).await
    }
}
