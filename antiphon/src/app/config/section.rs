//! Tables of a configuration that belong to the application.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::overlay::{complete, without_nulls};
use crate::base::guard;
use crate::prelude::*;

/// A table of the configuration that belongs to the application, for [`App::section`].
///
/// Every key has a default, which stands in `Default`. A key of the file that no field reads is
/// refused, as any other unknown key of the configuration, also when all keys are optional; none is
/// found beside a `#[serde(flatten)]`. A variable `ANTIPHON_SHOP__KEY`
/// sets a key whatever its case, with `_` for each `-`. A secret is a
/// [`Secret`](crate::base::secret::Secret), whose default is empty: a text in the program is none.
///
/// ```
/// use antiphon::app::Section;
/// use antiphon::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct ShopSettings {
///     /// Most items of one cart.
///     items_max: u32,
/// }
///
/// impl Default for ShopSettings {
///     fn default() -> Self {
///         Self { items_max: 100 }
///     }
/// }
///
/// impl Section for ShopSettings {
///     fn validate(&self) -> Result<()> {
///         if self.items_max == 0 {
///             return Err(Error::rejected("`items_max`: expected at least 1, actual 0"));
///         }
///         Ok(())
///     }
/// }
/// # let shop = antiphon::app::app("shop").section::<ShopSettings>("shop");
/// # drop(shop);
/// ```
///
/// [`App::section`]: super::super::App::section
pub trait Section: Serialize + DeserializeOwned + Default + Send + Sync + 'static {
    /// Checks every value.
    ///
    /// # Errors
    /// `Rejected`, naming the key, its value and what was expected.
    fn validate(&self) -> Result<()> {
        Ok(())
    }
}

/// The settings of an application, by their types.
pub(crate) type Sections = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// The settings of an application as they were read, with their secrets.
#[derive(Clone, Default)]
pub(super) struct Settings(BTreeMap<String, (TypeId, Arc<dyn Any + Send + Sync>)>);

impl Settings {
    pub(super) fn has(&self, section: &SectionKind) -> bool {
        self.0.contains_key(&section.name)
    }

    pub(super) fn insert(&mut self, section: &SectionKind, read: Arc<dyn Any + Send + Sync>) {
        self.0.insert(section.name.clone(), (section.id, read));
    }

    pub(super) fn by_type(self) -> Sections {
        self.0.into_values().collect()
    }
}

impl PartialEq for Settings {
    /// Compares the names only: the values that may be shown are in the tables.
    fn eq(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

type Read = fn(&Value) -> Result<(Value, Arc<dyn Any + Send + Sync>)>;

/// A table of the application, by its name.
#[derive(Clone)]
pub(crate) struct SectionKind {
    pub(crate) name: String,
    /// The type of its settings.
    pub(crate) id: TypeId,
    read: Read,
    defaults: fn() -> Value,
}

impl SectionKind {
    pub(crate) fn new<S: Section>(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            id: TypeId::of::<S>(),
            read: read::<S>,
            defaults: defaults::<S>,
        }
    }

    /// The default of each key, as it is: the whole may not be valid, and keys without a value are
    /// null.
    pub(super) fn defaults(&self) -> Value {
        let defaults = guard::call("the default of a section", &self.name, self.defaults);
        defaults.unwrap_or_default()
    }

    /// Reads the table, completed by the defaults. Returns it with every key, and the settings.
    ///
    /// # Errors
    /// `Rejected`, naming the key, its value and what was expected; `Bug` when code of the section
    /// panics.
    pub(crate) fn read(&self, given: &Value) -> Result<(Value, Arc<dyn Any + Send + Sync>)> {
        let read = guard::call("the settings of a section", &self.name, || (self.read)(given));
        read.map_err(|failure| Error::bug(failure.to_string()))?
    }
}

impl PartialEq for SectionKind {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.id) == (&other.name, other.id)
    }
}

impl fmt::Debug for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SectionKind").field(&self.name).finish()
    }
}

fn defaults<S: Section>() -> Value {
    serde_json::to_value(S::default()).unwrap_or_default()
}

fn read<S: Section>(given: &Value) -> Result<(Value, Arc<dyn Any + Send + Sync>)> {
    let defaults = S::default();
    let settings: S = complete(&defaults, given)?;
    let shown = serde_json::to_value(&defaults).unwrap_or_default();
    if let Some(key) = secret(&shown) {
        // its text is not in the serialized default, so the settings would have stars in its place
        return Err(Error::bug(format!(
            "`{key}`: expected an empty default of a secret: a text in the program is none"
        )));
    }
    settings.validate()?;
    let shown = serde_json::to_value(&settings);
    let shown = shown.map_err(|error| Error::bug(format!("settings as a table: {error}")))?;
    Ok((without_nulls(shown), Arc::new(settings)))
}

/// The key of a secret that has a text.
fn secret(shown: &Value) -> Option<String> {
    let Value::Object(table) = shown else { return None };
    table.iter().find_map(|(key, value)| {
        if value == "***" {
            return Some(key.clone());
        }
        secret(value).map(|inner| format!("{key}.{inner}"))
    })
}

#[cfg(test)]
mod tests;
