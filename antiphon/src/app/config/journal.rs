//! The location of a journal in a configuration: a text, such as the path of a file, or a table
//! with the `kind` of store.

use std::fmt;

use crate::Journal;
use crate::persistence::store::{Registry, Table};
use crate::prelude::*;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::within::within;

/// The location of a journal. It is shown without its secrets.
#[derive(Clone, Default, PartialEq)]
pub struct JournalConfig {
    /// The location as a text, for the first kind of store that takes texts.
    text: Option<String>,
    kind: String,
    location: Table,
    /// The location without its secrets.
    shown: Table,
}

impl JournalConfig {
    /// A location as a text, such as the path of a file.
    pub(super) fn of_text(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::default() }
    }

    /// Finds the kind of store, and checks the location.
    pub(super) fn resolve(&mut self, stores: &Registry) -> Result<()> {
        if let Some(text) = &self.text {
            let (kind, location) = stores.of_text(text).ok_or_else(|| {
                Error::rejected("`journal`: expected a table with its `kind`, actual a text")
            })?;
            (self.kind, self.location) = (kind.name().to_owned(), location);
        }
        let shown = stores.find(&self.kind).and_then(|kind| kind.shown(&self.location));
        self.shown = shown.map_err(|error| within("journal", &error))?;
        Ok(())
    }

    /// The journal of a place; `settings` are the tables of all kinds.
    pub(super) fn journal(
        &self,
        place: &str,
        stores: &Registry,
        settings: &Table,
    ) -> Result<Journal> {
        let none = Table::new();
        let settings = settings.get(&self.kind).and_then(Value::as_object).unwrap_or(&none);
        let journal = Journal::of_kind(stores, &self.kind, place, &self.location, settings);
        journal.map_err(|error| within("journal", &error))
    }
}

impl fmt::Debug for JournalConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => text.fmt(f),
            None => f.debug_struct(&self.kind).field("location", &self.shown).finish(),
        }
    }
}

impl Serialize for JournalConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match &self.text {
            Some(text) => text.serialize(serializer),
            None => with_kind(&self.kind, &self.shown).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for JournalConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        const EXPECTED: &str = "`journal`: expected the path of a file, or a table with its `kind`";
        match toml::Value::deserialize(deserializer)? {
            // its text may have a password, and must not become the name of a file
            toml::Value::String(text) if text.trim_start().starts_with('{') => {
                Err(D::Error::custom(
                    "`journal`: expected the path of a file, or a table in TOML, actual a text that begins with `{`",
                ))
            }
            toml::Value::String(text) => Ok(Self::of_text(&text)),
            toml::Value::Table(table) => {
                let value = serde_json::to_value(table).map_err(D::Error::custom)?;
                let Value::Object(mut location) = value else {
                    return Err(D::Error::custom(EXPECTED));
                };
                let kind = match location.remove("kind") {
                    Some(Value::String(kind)) => kind,
                    // refused with the list of kinds
                    None => String::new(),
                    Some(_) => {
                        return Err(D::Error::custom(
                            "`journal`: `kind`: expected the name of a kind of store in quotes",
                        ));
                    }
                };
                Ok(Self { kind, location, ..Self::default() })
            }
            other @ (toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)) => {
                Err(D::Error::custom(format!("{EXPECTED}, actual {}", other.type_str())))
            }
        }
    }
}

/// The table of a journal as a configuration has it.
pub(crate) fn with_kind(kind: &str, location: &Table) -> Table {
    let mut table = location.clone();
    table.insert("kind".to_owned(), kind.into());
    table
}
