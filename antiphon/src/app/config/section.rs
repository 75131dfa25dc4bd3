//! Tables of a configuration that belong to the application.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::overlay::{complete, without_nulls};
use crate::prelude::*;

/// A table of the configuration that belongs to the application, for [`App::section`].
///
/// Every key has a default, which stands in `Default`. A key of the file that is not in the
/// serialized default is refused, as any other unknown key of the configuration.
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

type Read = fn(&Value) -> Result<(Value, Arc<dyn Any + Send + Sync>)>;

/// A table of the application, by its name.
#[derive(Clone)]
pub(crate) struct SectionKind {
    pub(crate) name: String,
    /// The type of its settings.
    pub(crate) id: TypeId,
    read: Read,
}

impl SectionKind {
    pub(crate) fn new<S: Section>(name: &str) -> Self {
        Self { name: name.to_owned(), id: TypeId::of::<S>(), read: read::<S> }
    }

    /// Reads the table, completed by the defaults. Returns it with every key, and the settings.
    ///
    /// # Errors
    /// `Rejected`, naming the key, its value and what was expected.
    pub(crate) fn read(&self, given: &Value) -> Result<(Value, Arc<dyn Any + Send + Sync>)> {
        (self.read)(given)
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

fn read<S: Section>(given: &Value) -> Result<(Value, Arc<dyn Any + Send + Sync>)> {
    let settings: S = complete(&S::default(), given)?;
    settings.validate()?;
    let shown = serde_json::to_value(&settings);
    let shown = shown.map_err(|error| Error::bug(format!("settings as a table: {error}")))?;
    Ok((without_nulls(shown), Arc::new(settings)))
}
