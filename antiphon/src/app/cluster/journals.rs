//! The journals of a cluster on one machine, of any kind of store.

use std::path::{Path, PathBuf};

use crate::Journal;
use crate::persistence::store::{Registry, Table};
use crate::prelude::*;
use serde_json::Value;

use crate::app::config::with_kind;

/// The journals of the places of a local cluster.
#[derive(Debug, Clone)]
pub struct LocalJournals {
    /// The kinds of stores that may be named.
    pub stores: Registry,
    /// The kind of store of all places.
    pub kind: String,
    /// Keys of the location of each journal, such as the address of a server.
    pub options: Table,
    /// Keeps the stores of this run apart from those of other runs on the same server.
    pub run: String,
}

impl Default for LocalJournals {
    /// The default kind of store: a file for each place.
    fn default() -> Self {
        let stores = crate::stores();
        let kind = stores.names().next().unwrap_or_default().to_owned();
        Self { stores, kind, options: Table::new(), run: String::new() }
    }
}

impl LocalJournals {
    /// The settings of a place's journal, for opening it; a file is in `folder`.
    ///
    /// # Errors
    /// `Rejected` for an unknown kind of store, or for options that it does not have.
    pub fn journal(&self, folder: &Path, place: &str) -> Result<Journal> {
        let location = self.location(folder, place)?;
        Journal::of_kind(&self.stores, &self.kind, place, &location, &Table::new())
    }

    /// The value of `journal` in the configuration of a node, as TOML.
    ///
    /// # Errors
    /// As [`Self::journal`].
    pub fn text(&self, folder: &Path, place: &str) -> Result<String> {
        let value = toml::Value::try_from(with_kind(&self.kind, &self.location(folder, place)?));
        value.map(|value| value.to_string()).map_err(|error| Error::bug(error.to_string()))
    }

    /// The file of a place's journal. `None` for a kind of store without a file.
    pub fn file(&self, folder: &Path, place: &str) -> Option<PathBuf> {
        let location = self.location(folder, place).ok()?;
        location.get("path").and_then(Value::as_str).map(PathBuf::from)
    }

    fn location(&self, folder: &Path, place: &str) -> Result<Table> {
        self.stores.find(&self.kind)?.local(folder, place, &self.run, &self.options)
    }
}
