//! The sections `Settings:Journal` and `Settings:Subscriptions:*:Journal`: an Antiphon journal, in
//! a store of any kind.
//!
//! The keys of a section are those of the kind, as in a node's table `journal`, in the spelling of
//! the replicator's keys: `ContactPoints:0` is the first of `contact_points`, and a duration is a
//! TimeSpan. The kind checks them.

use std::fmt;
use std::sync::Arc;

use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::store::{Backend, Registry, Role, StoreKind, Table};
use serde_json::Value;

use super::kinds::{Kind, text};
use super::location::{given, renamed, spelled};
use super::problems::Problems;
use super::reader::Reader;
use super::table::{Field, Key, below};
use crate::{Error, Result};

/// The kinds of stores that a journal can be in: a line for each. The first is the default.
fn stores() -> Registry {
    Registry::default().with(antiphon_sqlite::SqliteKind).with(antiphon_cassandra::CassandraKind)
}

/// A journal: the kind of its store, and its location.
#[derive(Clone, PartialEq, Eq)]
pub struct JournalSettings {
    /// The name of the kind of store.
    pub kind: String,
    /// The place that the journal belongs to: several places may share a server.
    pub place: String,
    /// The location, with the keys of the kind. May have a password.
    pub location: Table,
}

impl Default for JournalSettings {
    fn default() -> Self {
        let kind = stores().names().next().unwrap_or_default().to_owned();
        Self { kind, place: String::new(), location: Table::new() }
    }
}

impl fmt::Debug for JournalSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("JournalSettings");
        shown.field("kind", &self.kind).field("place", &self.place).finish_non_exhaustive()
    }
}

/// The keys of a journal. A journal that is used is checked by [`JournalSettings::check`].
pub(super) struct JournalKeys;

impl Field<JournalSettings> for JournalKeys {
    fn read(&self, reader: &Reader<'_>, key: &str, value: &mut JournalSettings) {
        Field::read(&kind(), reader, &below(key, "Kind"), &mut value.kind);
        let defaults = stores().find(&value.kind).map(defaults).unwrap_or_default();
        for name in reader.children(key) {
            let at = below(key, &name);
            if name.eq_ignore_ascii_case("Place") {
                Field::read(&place(), reader, &at, &mut value.place);
            } else if !name.eq_ignore_ascii_case("Kind") {
                let name = spelled(&name, &defaults);
                let given = given(reader, &at, defaults.get(&name).unwrap_or(&Value::Null));
                value.location.extend(given.map(|given| (name, given)));
            }
        }
    }

    fn bounds(&self, _key: &str, _value: &JournalSettings, _problems: &mut Problems) {}

    fn list(&self, key: &str, _about: &str, default: &JournalSettings, keys: &mut Vec<Key>) {
        let about = "Kind of the store that holds the journal.";
        kind().list(&below(key, "Kind"), about, &default.kind, keys);
        let about = "Place whose journal it is: `node.place` of the nodes that use it. Required for a store on a server.";
        place().list(&below(key, "Place"), about, &default.place, keys);
        let about = "Location of the journal: the keys of a node's table `journal` of this kind, in CamelCase, with durations as TimeSpan.";
        keys.push(Key::new(&below(key, "*"), "", "as the kind", about));
    }
}

fn kind() -> Kind<String> {
    let names: Vec<&str> = stores().names().collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let find = move |text: &str| {
        let text = text.trim().to_ascii_lowercase();
        stores().find(&text).is_ok().then_some(text)
    };
    let expected = format!("one of {}", quoted.join(", "));
    Kind::new((names.join(", "), expected), find, String::clone, |_| None)
}

fn place() -> Kind<String> {
    text("a name")
}

/// A location of this kind with every default, where the kind has such a location.
fn defaults(kind: &dyn StoreKind) -> Table {
    kind.shown(&Table::new()).unwrap_or_default()
}

impl JournalSettings {
    /// The location, for a journal that is used. `path` is the path of its file, if given.
    fn location(&self, kind: &dyn StoreKind, path: Option<&str>) -> Table {
        let mut location = self.location.clone();
        location.extend(path.and_then(|path| kind.location_of_text(path)).into_iter().flatten());
        // a list of addresses has the default of a machine of one's own, which is seldom meant here
        for (name, _) in defaults(kind).into_iter().filter(|(_, value)| value.is_array()) {
            location.entry(name).or_insert(Value::Array(Vec::new()));
        }
        location
    }

    /// The journal. Nothing is opened.
    ///
    /// # Errors
    /// `Rejected`, naming the key of the kind and what was expected.
    pub fn backend(&self, path: Option<&str>) -> Result<Arc<dyn Backend>> {
        let stores = stores();
        let kind = stores.find(&self.kind)?;
        kind.journal(&self.place, &self.location(kind, path), &Table::new())
    }

    /// Checks the files that the location of a journal on a server names, as a connection will.
    ///
    /// # Errors
    /// `Rejected`, naming the key, the file and the expected content.
    pub fn check_files(&self, key: &str, path: Option<&str>, role: Role) -> Result<()> {
        let backend = self.backend(path)?;
        if !backend.is_remote() {
            return Ok(());
        }
        backend
            .check(role)
            .map_err(|error| Error::rejected(renamed(key, &error.to_string())).with_source(error))
    }

    /// Returns whether the section `key` of a journal has no problem.
    pub(crate) fn is_valid(&self, key: &str, path: Option<&str>) -> bool {
        let mut problems = Problems::default();
        self.check(key, path, &mut problems);
        problems.is_empty()
    }

    /// Checks the section `key` of a journal that is used. `path` is the path of its file, if
    /// given.
    pub(super) fn check(&self, key: &str, path: Option<&str>, problems: &mut Problems) {
        let stores = stores();
        let (kind_key, path_key) = (below(key, "Kind"), format!("{key}Path"));
        let kind = match stores.find(&self.kind) {
            Ok(kind) => kind,
            Err(error) => return problems.push(renamed(key, &error.to_string())),
        };
        let takes_path = kind.location_of_text("").is_some();
        if takes_path && path.is_none() && self.location.is_empty() {
            let names: Vec<String> = stores.names().map(|name| format!("`{name}`")).collect();
            let expected = format!(
                "the path of the journal's file; for a journal in another store set `{kind_key}` to one of {}",
                names.join(", ")
            );
            return problems.required(&path_key, "", &expected);
        }
        if let Some(path) = path.filter(|_| !takes_path) {
            let expected = format!("none, because `{kind_key}` is `{}`", kind.name());
            problems.expected(&path_key, path, &expected);
        }
        if kind.has_server() {
            let expected = "the name of the place whose journal it is, `node.place` of its nodes";
            let place_key = below(key, "Place");
            problems.required(&place_key, &self.place, expected);
            if let Some(error) =
                ReplicaId::new(&self.place).err().filter(|_| !self.place.is_empty())
            {
                problems.expected(&place_key, &self.place, &format!("{expected}: {error}"));
            }
        }
        refusals(kind, self.location(kind, path), key, problems);
    }
}

/// Everything that the kind refuses in a location: each refused value is left out to find the next.
fn refusals(kind: &dyn StoreKind, mut location: Table, key: &str, problems: &mut Problems) {
    let defaults = defaults(kind);
    while let Err(error) = kind.shown(&location) {
        let message = error.to_string();
        problems.push(renamed(key, &message));
        let refused = message.strip_prefix('`').and_then(|rest| rest.split(['`', '.', '[']).next());
        let Some(refused) = refused else { return };
        let left_out = location.remove(refused);
        if left_out.is_none() || left_out.as_ref() == defaults.get(refused) {
            return;
        }
        location.extend(
            defaults.get_key_value(refused).map(|(name, value)| (name.clone(), value.clone())),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::Layers;

    fn read(text: &str) -> JournalSettings {
        let mut layers = Layers::default();
        layers.add_json("a.json", text).unwrap();
        let mut settings = JournalSettings::default();
        JournalKeys.read(&Reader::new(&layers), "Journal", &mut settings);
        settings
    }

    fn problems(settings: &JournalSettings, path: Option<&str>) -> String {
        let mut problems = Problems::default();
        settings.check("Journal", path, &mut problems);
        problems.into_result(&[]).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn the_keys_of_a_kind_are_read_in_any_case_with_the_types_of_its_defaults() {
        let settings = read(
            r#"{ "Journal": { "Kind": "Cassandra", "Place": "DC-A", "CONTACTPOINTS": ["b:9042", "a"],
                 "RequestsMax": 8, "RequestTimeout": "00:00:00.250", "Auth": { "User": "u", "Password": "73100" } } }"#,
        );

        let expected = serde_json::json!({ "contact_points": ["b:9042", "a"], "requests_max": 8,
            "request_timeout": "250ms", "auth": { "user": "u", "password": "73100" } });
        assert_eq!(Value::Object(settings.location.clone()), expected);
        assert_eq!(problems(&settings, None), "");
        assert_eq!(settings.backend(None).unwrap().name(), "antiphon/DC-A");
        assert!(!format!("{settings:?}").contains("73100"));
    }

    #[test]
    fn everything_that_a_kind_refuses_is_said_at_once_with_the_keys_of_the_section() {
        let message = problems(
            &read(r#"{ "Journal": { "Kind": "cassandra", "Keyspace": "a-b", "RequestsMax": 0 } }"#),
            Some("a.sqlite"),
        );
        for part in [
            "`JournalPath`: expected none, because `Journal:Kind` is `cassandra`, actual `a.sqlite`",
            "`Journal:Place`: expected the name of the place",
            "`Journal:ContactPoints`: expected at least one",
            "`Journal:Keyspace`: expected a letter",
            "`Journal:RequestsMax`: expected",
        ] {
            assert!(message.contains(part), "`{part}` in: {message}");
        }
    }

    #[test]
    fn a_file_is_named_by_its_path_or_in_the_section() {
        let none = read("{}");
        assert!(problems(&none, None).contains("`JournalPath`: expected the path"));
        assert_eq!(problems(&none, Some("a.sqlite")), "");
        assert_eq!(problems(&read(r#"{ "Journal": { "Path": "a.sqlite" } }"#), None), "");
        let other = read(r#"{ "Journal": { "Place": "A", "ContactPoints": ["a"] } }"#);
        assert!(problems(&other, Some("a.sqlite")).contains("contact_points"));
    }
}
