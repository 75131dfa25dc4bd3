//! The identity of a node: a name that people choose, and an incarnation that tells a restarted
//! node from the one before.
//!
//! Text form `name@incarnation`. A name may not contain `@`, `|`, a slash, white space or hidden
//! characters. So the text form can be parsed, and can be the key of a table, the name of a journal
//! writer, and a part of a URL.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use antiphon_base::text::{foreign, is_hidden};
use antiphon_persistence::store::WriterId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, Result};

/// Longest name of a node, in bytes.
pub const NODE_NAME_BYTES_MAX: usize = 128;

/// A node id: one incarnation of a node. Cheap to clone. Sorted by name, then by incarnation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    name: Arc<str>,
    incarnation: u64,
}

impl NodeId {
    /// The incarnation `incarnation` of the node `name`.
    ///
    /// # Errors
    /// `Rejected` when the name is empty, longer than [`NODE_NAME_BYTES_MAX`] or has a forbidden
    /// character.
    pub fn new(name: impl AsRef<str>, incarnation: u64) -> Result<Self> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(Error::rejected("node name: expected a name, actual an empty text"));
        }
        if name.len() > NODE_NAME_BYTES_MAX {
            return Err(Error::rejected(format!(
                "node name: expected at most {NODE_NAME_BYTES_MAX} bytes, actual {}",
                name.len()
            )));
        }
        let forbidden = |c: char| matches!(c, '@' | '|' | '/') || c.is_whitespace() || is_hidden(c);
        if name.contains(forbidden) {
            return Err(Error::rejected(format!(
                "node name `{}`: expected no `@`, `|`, `/`, white space or hidden character",
                foreign(name)
            )));
        }
        Ok(Self { name: name.into(), incarnation })
    }

    /// The name; it stays the same over restarts.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The incarnation; it differs at each start.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The journal writer of this incarnation.
    pub fn writer(&self) -> WriterId {
        WriterId::new(self.to_string()).expect("the text form of a node id is never empty")
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.incarnation)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.rsplit_once('@');
        let parsed = parts.and_then(|(name, number)| Some((name, number.parse().ok()?)));
        let Some((name, incarnation)) = parsed else {
            return Err(Error::rejected(format!(
                "node id `{}`: expected `name@incarnation` with a number after the `@`",
                foreign(text)
            )));
        };
        Self::new(name, incarnation)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_read_back() {
        let id = NodeId::new("dc-a.node_1", 42).unwrap();

        assert_eq!(id.to_string(), "dc-a.node_1@42");
        assert_eq!("dc-a.node_1@42".parse::<NodeId>().unwrap(), id);
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"dc-a.node_1@42\"");
        assert_eq!(serde_json::from_str::<NodeId>("\"dc-a.node_1@42\"").unwrap(), id);
        assert_eq!(id.writer().as_str(), "dc-a.node_1@42");
    }

    #[test]
    fn bad_names_and_texts_are_refused() {
        for name in ["", "a@b", "a|b", "a b", "a/b", "a\n", "a\u{202e}b", &"x".repeat(129)] {
            assert!(NodeId::new(name, 1).is_err(), "{name:?}");
        }
        for text in ["", "a", "a@", "@1", "a@-1", "a@1x", "a@18446744073709551616"] {
            assert!(text.parse::<NodeId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn order_is_by_name_then_by_incarnation_as_a_number() {
        let id = |name: &str, incarnation| NodeId::new(name, incarnation).unwrap();

        assert!(id("a", 10) > id("a", 9));
        assert!(id("a", 10) < id("b", 1));
    }
}
