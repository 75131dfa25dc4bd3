//! The names that a program knows in a configuration beside those of a node: its kinds of stores,
//! its entity types, and the tables of its application.

use crate::persistence::store::Registry;

use super::section::SectionKind;

/// The names that a program knows in a configuration beside those of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The kinds of stores.
    pub(crate) stores: Registry,
    /// The tables of the application.
    pub(crate) sections: Vec<SectionKind>,
    /// The entity types; `None` when the program does not say them.
    pub(crate) types: Option<Vec<String>>,
}

impl From<Registry> for Known {
    /// Kinds of stores alone; every entity type may have settings.
    fn from(stores: Registry) -> Self {
        Self { stores, sections: Vec::new(), types: None }
    }
}

impl Default for Known {
    fn default() -> Self {
        crate::stores().into()
    }
}
