//! The door: a node opens the log through these traits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon::persistence::store::{
    Backend, OpenBackend, Role, StoreKind, Stores, Table, read_table, write_table,
};
use antiphon::prelude::*;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::LogStores;

/// A log file as a kind of store, for configurations: `{ kind = "log", path = ".." }`.
#[derive(Debug, Clone, Copy)]
pub struct LogKind;

impl StoreKind for LogKind {
    fn name(&self) -> &'static str {
        "log"
    }

    fn settings(&self, settings: &Table) -> Result<Table> {
        match settings.keys().next() {
            None => Ok(Table::new()),
            Some(key) => Err(Error::rejected(format!("`{key}`: a log has no settings"))),
        }
    }

    fn shown(&self, location: &Table) -> Result<Table> {
        read_table::<LogJournal>(location).and_then(|journal| write_table(&journal))
    }

    fn journal(&self, _: &str, location: &Table, _: &Table) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(read_table::<LogJournal>(location)?))
    }

    fn local(&self, folder: &Path, place: &str, _: &str, options: &Table) -> Result<Table> {
        match options.keys().next() {
            None => write_table(&LogJournal { path: folder.join(format!("{place}.log")) }),
            Some(key) => Err(Error::rejected(format!("`{key}`: a log has no such key"))),
        }
    }
}

/// A journal in a log file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogJournal {
    /// The log; all nodes of the place use the same one.
    pub path: PathBuf,
}

#[async_trait]
impl Backend for LogJournal {
    fn kind(&self) -> &'static str {
        "log"
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn identity(&self) -> Option<String> {
        let path = std::path::absolute(&self.path).ok()?;
        let real = match path.canonicalize() {
            Ok(real) => real,
            // the file does not exist yet
            Err(_) => path.parent()?.canonicalize().ok()?.join(path.file_name()?),
        };
        Some(format!("{real:?}"))
    }

    fn check(&self, _role: Role) -> Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if self.path.file_name().is_none() || folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(Error::rejected(format!(
                "`path`: expected a file in a folder that is there, actual {:?}",
                self.path
            )));
        }
        Ok(())
    }

    async fn open(&self, role: Role) -> Result<Arc<dyn OpenBackend>> {
        let path = self.path.clone();
        let opening = tokio::task::spawn_blocking(move || LogStores::open(&path, role));
        let opened = opening.await.map_err(|error| Error::unavailable(error.to_string()))?;
        Ok(Arc::new(opened?))
    }
}

#[async_trait]
impl OpenBackend for LogStores {
    fn stores(&self) -> Stores {
        Self::stores(self)
    }

    fn check(&self) -> Result<()> {
        self.check_file()
    }
}
