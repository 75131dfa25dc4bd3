//! The layers of the configuration, as Ditto had them; a later layer overrides an earlier one, key
//! by key.
//!
//! ```text
//!   appsettings.json
//!     <  appsettings.{ASPNETCORE_ENVIRONMENT}.json
//!     <  environment variables `Ditto_..`
//! ```
//!
//! Both files are optional and are looked for in the directory of `--directory`, by default the
//! current one. In a variable's name two underscores, or a colon, separate the keys. Keys are
//! compared without case, array elements are merged by their index.

use std::collections::BTreeMap;
use std::path::Path;

use super::json;
use crate::{Error, Result};

const PREFIX: &str = "ditto_";
const ENVIRONMENT: &str = "ASPNETCORE_ENVIRONMENT";

/// A value of the configuration, before it is parsed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Raw {
    /// The key as it was written.
    pub(super) key: String,
    pub(super) text: String,
    /// The layer that the value comes from.
    pub(super) from: String,
}

/// All values by their lower-cased key, `settings:subscriptions:0:streamname`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Layers(pub(super) BTreeMap<String, Raw>);

impl Layers {
    /// Reads the two files of `directory` and `variables`.
    ///
    /// # Errors
    /// `Rejected` when the folder is missing, or a file cannot be read or is not JSON.
    pub(super) fn read(directory: &Path, variables: &[(String, String)]) -> Result<Self> {
        let mut layers = Self::default();
        if !directory.is_dir() {
            return Err(Error::rejected(format!(
                "`--directory`: expected an existing folder, actual `{}`",
                directory.display()
            )));
        }
        layers.add_file(directory, "appsettings.json")?;
        let environment = variables.iter().find(|(name, _)| name == ENVIRONMENT);
        if let Some((_, name)) = environment.filter(|(_, name)| !name.is_empty()) {
            if name.contains(['/', '\\']) {
                return Err(Error::rejected(format!(
                    "environment variable `{ENVIRONMENT}={name}`: expected a name such as `Production`, without slashes"
                )));
            }
            layers.add_file(directory, &format!("appsettings.{name}.json"))?;
        }
        layers.add_variables(variables);
        Ok(layers)
    }

    fn add_file(&mut self, directory: &Path, name: &str) -> Result<()> {
        let path = directory.join(name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(Error::rejected(format!(
                    "{}: cannot be read: {error}",
                    path.display()
                )));
            }
        };
        self.add_json(name, &text)
    }

    /// Adds the text of a file.
    ///
    /// # Errors
    /// `Rejected` when the text is not a JSON object.
    pub(super) fn add_json(&mut self, name: &str, text: &str) -> Result<()> {
        let flat =
            json::flatten(text).map_err(|error| Error::rejected(format!("{name}: {error}")))?;
        for (key, text) in flat {
            self.put(key, text, name.to_owned());
        }
        Ok(())
    }

    /// Adds the variables with Ditto's prefix, in the order of their names.
    pub(super) fn add_variables(&mut self, variables: &[(String, String)]) {
        let mut ours: Vec<_> = variables
            .iter()
            .filter(|(name, _)| name.to_ascii_lowercase().starts_with(PREFIX))
            .collect();
        ours.sort();
        for (name, text) in ours {
            let key = name[PREFIX.len()..].replace("__", ":");
            self.put(key, text.clone(), format!("environment variable `{name}`"));
        }
    }

    fn put(&mut self, key: String, text: String, from: String) {
        self.0.insert(key.to_ascii_lowercase(), Raw { key, text, from });
    }

    /// The value of a key; an empty one counts as not given.
    pub(super) fn get(&self, key: &str) -> Option<&Raw> {
        self.0.get(&key.to_ascii_lowercase()).filter(|raw| !raw.text.trim().is_empty())
    }

    /// The names one level below `key` as they are written: numbers first, by their value, then the
    /// others.
    pub(super) fn children(&self, key: &str) -> Vec<String> {
        let prefix = format!("{}:", key.to_ascii_lowercase());
        let mut names: Vec<String> = Vec::new();
        for raw in self.0.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
            let name = raw.1.key[prefix.len()..].split(':').next().unwrap_or_default().to_owned();
            if !names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                names.push(name);
            }
        }
        names.sort_by_key(|name| (name.parse::<u32>().unwrap_or(u32::MAX), name.clone()));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn later_layers_go_before_earlier_ones_key_by_key_and_index_by_index() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("appsettings.json"),
            r#"{ "Settings": { "Subscriptions": [ { "StreamName": "a", "GroupName": "g" } ], "ReadOnly": false } }"#,
        )
        .unwrap();
        std::fs::write(
            folder.path().join("appsettings.Test.json"),
            r#"{ "settings": { "readonly": true, "Subscriptions": [ { "StreamName": "b" } ] } }"#,
        )
        .unwrap();

        let layers = Layers::read(
            folder.path(),
            &variables(&[
                ("ASPNETCORE_ENVIRONMENT", "Test"),
                ("Ditto_Settings__Subscriptions__0__StreamName", "c"),
                ("DITTO_SETTINGS:Subscriptions:1:StreamName", "d"),
                ("Settings__ReadOnly", "not ours"),
            ]),
        )
        .unwrap();

        let text = |key: &str| layers.get(key).map(|raw| raw.text.as_str());
        assert_eq!(text("Settings:ReadOnly"), Some("true"));
        assert_eq!(text("Settings:Subscriptions:0:StreamName"), Some("c"));
        assert_eq!(text("Settings:Subscriptions:0:GroupName"), Some("g"));
        assert_eq!(text("Settings:Subscriptions:1:StreamName"), Some("d"));
        assert_eq!(layers.children("Settings:Subscriptions"), ["0", "1"]);
    }

    #[test]
    fn without_files_the_environment_is_enough_and_a_bad_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let layers = Layers::read(folder.path(), &variables(&[("Ditto_A__B", "1")])).unwrap();
        assert_eq!(layers.get("a:b").unwrap().from, "environment variable `Ditto_A__B`");

        std::fs::write(folder.path().join("appsettings.json"), "{ \"a\": }").unwrap();
        let error = Layers::read(folder.path(), &[]).unwrap_err().to_string();
        assert!(error.starts_with("appsettings.json: ") && error.contains("line 1"), "{error}");

        let missing = Layers::read(&folder.path().join("nowhere"), &[]).unwrap_err().to_string();
        assert!(
            missing.contains("`--directory`: expected an existing folder, actual `"),
            "{missing}"
        );

        let slash = Layers::read(folder.path(), &variables(&[("ASPNETCORE_ENVIRONMENT", "../x")]));
        assert!(slash.is_err());
    }

    #[test]
    fn elements_are_ordered_by_number_not_by_text() {
        let mut layers = Layers::default();
        layers.add_variables(&variables(&[
            ("Ditto_L__10", "x"),
            ("Ditto_L__9", "y"),
            ("Ditto_L__Name", "z"),
        ]));
        assert_eq!(layers.children("l"), ["9", "10", "Name"]);
    }
}
