//! The kinds of stores that a program knows, by their names in configurations.
//!
//! A configuration names a kind and gives the location of a journal as a table, and settings that
//! all journals of the kind share as another table:
//!
//! ```toml
//! journal = { kind = "sqlite", path = "antiphon.db" }
//!
//! [sqlite]
//! reader_count = 2
//! ```
//!
//! The crate of a store implements [`StoreKind`]; a program lists its kinds once, in a
//! [`Registry`], and takes every journal through it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Backend;
use crate::{Error, Result};

/// A table of a configuration, without `null`.
pub type Table = Map<String, Value>;

/// A kind of store: from the tables of a configuration to the settings of a journal.
///
/// Errors of all calls are `Rejected`. Their messages begin with the key in backticks, as in
/// `` `auth.user`: .. ``, and show no value that may be a secret: [`read_table`] makes such errors.
#[async_trait]
pub trait StoreKind: fmt::Debug + Send + Sync + 'static {
    /// The name: the `kind` of a journal's table, and the name of the table of shared settings. It
    /// equals [`Backend::kind`] of the journals.
    fn name(&self) -> &'static str;

    /// The location for which a text stands in place of a table, such as the path of a file.
    /// `None`, the default, when a location of this kind has to be a table.
    fn location_of_text(&self, _text: &str) -> Option<Table> {
        None
    }

    /// Checks the shared settings, and returns them with every key: a missing key gets its default.
    ///
    /// # Errors
    /// `Rejected`, naming the key, its value and what was expected.
    fn settings(&self, settings: &Table) -> Result<Table>;

    /// Checks a location, and returns it as it may be shown: every secret is masked.
    ///
    /// # Errors
    /// `Rejected`, naming the key, its value and what was expected.
    fn shown(&self, location: &Table) -> Result<Table>;

    /// The journal of a place, from its location and the shared settings of its kind. Nothing is
    /// opened.
    ///
    /// # Errors
    /// `Rejected`, naming the key, its value and what was expected.
    fn journal(&self, place: &str, location: &Table, settings: &Table) -> Result<Arc<dyn Backend>>;

    /// The location of a place's journal for a cluster on this machine, such as that of the demo:
    /// `options` are the keys of the location that its user gave; a file belongs into `folder`; a
    /// server that other runs use too keeps them apart by `run`.
    ///
    /// # Errors
    /// `Rejected` for wrong options.
    fn local(&self, folder: &Path, place: &str, run: &str, options: &Table) -> Result<Table>;

    /// Returns whether a journal of this kind needs a server. Default: `false`.
    fn has_server(&self) -> bool {
        false
    }

    /// Starts a server of this kind in `folder`, for a demo on this machine. `None`, the default,
    /// for a store without a server. A cancelled call may leave a server that runs.
    ///
    /// # Errors
    /// `Rejected` when the folder cannot be written; `Unavailable` when the server does not start.
    async fn start_server(&self, _folder: &Path) -> Result<Option<LocalServer>> {
        Ok(None)
    }
}

/// A server on this machine; its drop stops it.
pub struct LocalServer {
    /// The keys of a location that name the server: options for [`StoreKind::local`].
    pub options: Table,
    /// Dropped with this value; its drop stops the server.
    pub running: Box<dyn Send>,
}

impl fmt::Debug for LocalServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalServer").finish_non_exhaustive()
    }
}

/// The kinds of stores that a program knows, in order. The first is its default.
///
/// ```
/// use antiphon_persistence::store::Registry;
///
/// let none = Registry::default();
/// let refused = none.find("oracle").unwrap_err().to_string();
/// assert!(refused.contains("(none), actual \"oracle\""), "{refused}");
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    kinds: Vec<Arc<dyn StoreKind>>,
    /// Names of kinds that were left out of the program, each with the advice how to get it.
    left_out: Vec<(&'static str, &'static str)>,
}

impl Registry {
    /// The same registry with one more kind.
    ///
    /// # Panics
    /// When a kind of this name is there already: two crates claim one name.
    #[must_use]
    pub fn with(mut self, kind: impl StoreKind) -> Self {
        let is_new = self.names().all(|name| name != kind.name());
        assert!(is_new, "two kinds of stores have the name {:?}", kind.name());
        self.kinds.push(Arc::new(kind));
        self
    }

    /// The same registry with the name of a kind that was left out of the program, and an advice
    /// for a user who asks for it.
    #[must_use]
    pub fn without(mut self, name: &'static str, advice: &'static str) -> Self {
        self.left_out.push((name, advice));
        self
    }

    /// Returns whether a kind was left out of the program.
    pub fn is_left_out(&self, name: &str) -> bool {
        self.left_out.iter().any(|(left_out, _)| *left_out == name)
    }

    /// The names of all kinds, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.iter().map(|kind| kind.name())
    }

    /// All kinds, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &dyn StoreKind> {
        self.kinds.iter().map(|kind| &**kind)
    }

    /// The kind with this name.
    ///
    /// # Errors
    /// `Rejected`, with the names of all kinds, or with the advice for a kind that was left out.
    pub fn find(&self, name: &str) -> Result<&dyn StoreKind> {
        self.kinds().find(|kind| kind.name() == name).ok_or_else(|| {
            let left_out = self.left_out.iter().find(|(left_out, _)| *left_out == name);
            if let Some((name, advice)) = left_out {
                return Error::rejected(format!("`kind`: {name:?} is not in this program: {advice}"));
            }
            let names: Vec<String> = self.names().map(|name| format!("{name:?}")).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let actual = match name {
                "" => "none".to_owned(),
                name => format!("\"{}\"", antiphon_base::text::foreign(name)),
            };
            Error::rejected(format!(
                "`kind`: expected one of the kinds of stores of this program ({names}), actual {actual}"
            ))
        })
    }

    /// The kind and the location for which a text stands: of the first kind that takes texts.
    pub fn of_text(&self, text: &str) -> Option<(&dyn StoreKind, Table)> {
        self.kinds().find_map(|kind| Some((kind, kind.location_of_text(text)?)))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl PartialEq for Registry {
    fn eq(&self, other: &Self) -> bool {
        self.names().eq(other.names())
    }
}

/// Reads the settings of a kind from a table.
///
/// ```
/// use antiphon_persistence::store::{Table, read_table};
///
/// #[derive(Debug, serde::Deserialize)]
/// struct Settings {
///     reader_count: usize,
/// }
///
/// let table = Table::from_iter([("reader_count".to_owned(), "many".into())]);
/// let refused = read_table::<Settings>(&table).unwrap_err().to_string();
/// assert_eq!(refused, "`reader_count`: invalid type: a text, expected usize");
/// ```
///
/// # Errors
/// `Rejected`, naming the key and what was expected. The value is not shown: it may be a secret in
/// the wrong place.
pub fn read_table<T: DeserializeOwned>(table: &Table) -> Result<T> {
    serde_path_to_error::deserialize(Value::Object(table.clone())).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        let message = without_value(&antiphon_base::secret::without_texts(&message));
        match path.as_str() {
            "." => Error::rejected(message),
            path => Error::rejected(format!("`{path}`: {message}")),
        }
    })
}

/// A message of serde without the number that serde found: `integer` in place of its digits too.
fn without_value(message: &str) -> String {
    let is_found = ["invalid type: ", "invalid value: "].iter().any(|it| message.starts_with(it));
    match (message.split_once(" `"), message.rsplit_once("`, expected ")) {
        (Some((found, _)), Some((_, expected))) if is_found => {
            format!("{found}, expected {expected}")
        }
        _ => message.to_owned(),
    }
}

/// Writes settings as a table, without the keys that have no value.
///
/// # Errors
/// `Bug` when the settings are no table.
pub fn write_table<T: Serialize>(settings: &T) -> Result<Table> {
    let value = serde_json::to_value(settings);
    let value = value.map_err(|error| Error::bug(format!("settings as a table: {error}")))?;
    let Value::Object(mut table) = value else {
        return Err(Error::bug("settings as a table: they are another value"));
    };
    drop_nulls(&mut table);
    Ok(table)
}

fn drop_nulls(table: &mut Table) {
    table.retain(|_, value| !value.is_null());
    for value in table.values_mut() {
        if let Value::Object(table) = value {
            drop_nulls(table);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        password: String,
        limit: Option<u8>,
    }

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        auth: Inner,
    }

    fn table(value: Value) -> Table {
        let Value::Object(table) = value else { panic!("no table: {value}") };
        table
    }

    #[test]
    fn a_kind_that_was_left_out_is_refused_with_the_advice() {
        let kinds = Registry::default().without("oracle", "build it with `--features oracle`");
        let refused = kinds.find("oracle").err().map(|error| error.to_string());
        let expected =
            "`kind`: \"oracle\" is not in this program: build it with `--features oracle`";
        assert_eq!(refused.as_deref(), Some(expected));
        assert!(kinds.is_left_out("oracle") && !kinds.is_left_out("sqlite"));
    }

    #[test]
    fn a_wrong_value_is_named_by_its_path_and_never_shown() {
        for (wrong, key) in [
            (serde_json::json!({ "auth": "x73100" }), "`auth`"),
            (serde_json::json!({ "auth": { "password": 73100 } }), "`auth.password`"),
            (serde_json::json!({ "auth": { "pasword": "x73100" } }), "pasword"),
        ] {
            let refused = read_table::<Outer>(&table(wrong)).unwrap_err().to_string();
            assert!(refused.contains(key) && !refused.contains("73100"), "{refused}");
        }
    }

    #[test]
    fn settings_come_back_from_the_table_that_they_were_written_to() {
        let settings = Outer { auth: Inner { password: "p".into(), limit: None } };
        let table = write_table(&settings).unwrap();
        assert_eq!(
            Value::Object(table.clone()),
            serde_json::json!({ "auth": { "password": "p" } })
        );
        assert_eq!(read_table::<Outer>(&table).unwrap(), settings);
    }
}
