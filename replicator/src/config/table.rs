//! One table of keys: each field of a settings struct names its key, its kind and its default, and
//! its doc is the key's text on the page.
//!
//! From a row of the table come the struct's field and default, the reader, the check of the
//! bounds, the list of known keys, and the row of `docs/replicator/settings.md`.
//!
//! ```text
//!   settings! { WorkSettings {
//!       /// Lanes, which write at the same time.
//!       lanes: u32 = 1, "Lanes", number(1, 256);      // field: type = default, key, kind
//!   } }
//! ```

use super::kinds::Kind;
use super::problems::Problems;
use super::reader::Reader;

/// A key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The path, with `*` for an index or a name.
    pub key: String,
    /// The default as it would be written; empty is none.
    pub default: String,
    /// The accepted values.
    pub expected: String,
    /// The effect.
    pub about: String,
}

impl Key {
    pub(crate) fn new(key: &str, default: &str, expected: &str, about: &str) -> Self {
        let [key, default, expected, about] = [key, default, expected, about].map(str::to_owned);
        Self { key, default, expected, about }
    }
}

/// A struct whose fields are in the table.
pub(crate) trait Section: Default {
    /// Reads the keys below `at`; a field without a value keeps its value.
    fn read(&mut self, reader: &Reader<'_>, at: &str);

    /// Checks the bounds of every field.
    fn bounds(&self, at: &str, problems: &mut Problems);

    /// Lists the keys below `at`, with the fields' values as their defaults.
    fn list(&self, at: &str, keys: &mut Vec<Key>);
}

/// A field of a [`Section`]: a value of some kind, or further keys.
pub(crate) trait Field<T> {
    fn read(&self, reader: &Reader<'_>, key: &str, value: &mut T);
    fn bounds(&self, key: &str, value: &T, problems: &mut Problems);
    fn list(&self, key: &str, about: &str, default: &T, keys: &mut Vec<Key>);
}

impl<T> Field<T> for Kind<T> {
    fn read(&self, reader: &Reader<'_>, key: &str, value: &mut T) {
        let default = (self.show)(value);
        if let Some(given) = reader.value(key, &default, &self.expected, &self.parse) {
            *value = given;
        }
    }

    fn bounds(&self, key: &str, value: &T, problems: &mut Problems) {
        if let Some(expected) = (self.bounds)(value) {
            problems.expected(key, &(self.show)(value), &expected);
        }
    }

    fn list(&self, key: &str, about: &str, default: &T, keys: &mut Vec<Key>) {
        let default = match self.default_from {
            Some(other) => format!("as {other}"),
            None => (self.show)(default),
        };
        keys.push(Key::new(key, &default, &self.takes, about));
    }
}

/// A further section. With an empty key, its keys are beside those of the struct.
pub(crate) struct Sub;

impl<T: Section> Field<T> for Sub {
    fn read(&self, reader: &Reader<'_>, key: &str, value: &mut T) {
        value.read(reader, key);
    }

    fn bounds(&self, key: &str, value: &T, problems: &mut Problems) {
        value.bounds(key, problems);
    }

    fn list(&self, key: &str, _about: &str, default: &T, keys: &mut Vec<Key>) {
        default.list(key, keys);
    }
}

/// A list of sections, by index.
pub(crate) struct Each;

impl<T: Section> Field<Vec<T>> for Each {
    fn read(&self, reader: &Reader<'_>, key: &str, value: &mut Vec<T>) {
        value.extend(reader.children(key).into_iter().map(|index| {
            let mut one = T::default();
            one.read(reader, &format!("{key}:{index}"));
            one
        }));
    }

    fn bounds(&self, key: &str, value: &Vec<T>, problems: &mut Problems) {
        for (index, one) in value.iter().enumerate() {
            one.bounds(&format!("{key}:{index}"), problems);
        }
    }

    fn list(&self, key: &str, _about: &str, _default: &Vec<T>, keys: &mut Vec<Key>) {
        T::default().list(&format!("{key}:*"), keys);
    }
}

/// A list of texts, by index.
pub(crate) struct Texts(pub(crate) &'static str);

impl Field<Vec<String>> for Texts {
    fn read(&self, reader: &Reader<'_>, key: &str, value: &mut Vec<String>) {
        value.extend(reader.texts(key));
    }

    fn bounds(&self, _key: &str, _value: &Vec<String>, _problems: &mut Problems) {}

    fn list(&self, key: &str, about: &str, _default: &Vec<String>, keys: &mut Vec<Key>) {
        keys.push(Key::new(&format!("{key}:*"), "", self.0, about));
    }
}

/// The path of `key` below `at`.
pub(crate) fn below(at: &str, key: &str) -> String {
    if key.is_empty() { at.to_owned() } else { format!("{at}:{key}") }
}

/// Declares a settings struct and its table. A field without a key is set by the program.
macro_rules! settings {
    ($(#[$meta:meta])* $name:ident { $(
        $(#[doc = $doc:literal])+
        $field:ident: $type:ty = $default:expr $(, $key:literal, $kind:expr)?;
    )+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $( $(#[doc = $doc])+ pub $field: $type, )+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        $crate::config::table::section! { $name { $(
            $(#[doc = $doc])+ $field $(, $key, $kind)?;
        )+ } }
    };
}
pub(crate) use settings;

/// Declares the table of a struct that exists.
macro_rules! section {
    ($name:ty { $( $(#[doc = $doc:literal])+ $field:ident $(, $key:literal, $kind:expr)?; )+ }) => {
        impl $crate::config::table::Section for $name {
            fn read(&mut self, reader: &$crate::config::reader::Reader<'_>, at: &str) {
                use $crate::config::table::{Field, below};
                $($( Field::read(&$kind, reader, &below(at, $key), &mut self.$field); )?)+
            }

            fn bounds(&self, at: &str, problems: &mut $crate::config::problems::Problems) {
                use $crate::config::table::{Field, below};
                $($( Field::bounds(&$kind, &below(at, $key), &self.$field, problems); )?)+
            }

            fn list(&self, at: &str, keys: &mut Vec<$crate::config::table::Key>) {
                use $crate::config::table::{Field, below};
                $(
                    // a field without a key has no row
                    let _about = concat!($($doc),+).trim();
                    $( Field::list(&$kind, &below(at, $key), _about, &self.$field, keys); )?
                )+
            }
        }
    };
}
pub(crate) use section;
