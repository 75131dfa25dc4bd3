//! Typed keys, and the names of the `pg` groups that carry them.
//!
//! A group has the actors of one node under one key. So its name says where an actor is, although
//! `pg` knows only numbers that differ from node to node:
//!
//! ```text
//! key | message type | rank | node id
//! ```

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use antiphon_base::text::{foreign, is_hidden};
use antiphon_runtime::NodeId;

use crate::ToolError;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// The begin of the keys that the other tools use.
pub(crate) const RESERVED: &str = "antiphon.";

/// Checks a key or a name: 1 to 256 bytes, without `|` and control characters, not one of the
/// tools.
pub(crate) fn check(key: &str) -> Result<(), ToolError> {
    if key.len() <= KEY_BYTES_MAX && !key.starts_with(RESERVED) && is_text(key) {
        return Ok(());
    }
    Err(ToolError::Key { key: foreign(key).to_string() })
}

fn is_text(key: &str) -> bool {
    !key.is_empty() && !key.contains(|c: char| c == '|' || c.is_control() || is_hidden(c))
}

/// A key under which actors with messages of the type `M` are registered and found.
///
/// ```
/// use antiphon_cluster::ServiceKey;
///
/// let printers = ServiceKey::<String>::new("printers")?;
/// assert_eq!(printers.to_string(), "printers");
/// # Ok::<(), antiphon_cluster::ToolError>(())
/// ```
pub struct ServiceKey<M> {
    key: Arc<str>,
    message: PhantomData<fn() -> M>,
}

impl<M> ServiceKey<M> {
    /// A key of 1 to 256 bytes, without `|` and control characters. Keys that begin with
    /// `antiphon.` belong to the other tools.
    ///
    /// # Errors
    /// [`ToolError::Key`].
    pub fn new(key: impl AsRef<str>) -> Result<Self, ToolError> {
        check(key.as_ref())?;
        Ok(Self::checked(key.as_ref()))
    }

    /// The key of a tool for one of its names.
    pub(crate) fn of_tool(tool: &str, name: &str) -> Result<Self, ToolError> {
        check(name)?;
        Ok(Self::checked(&format!("{RESERVED}{tool}.{name}")))
    }

    fn checked(key: &str) -> Self {
        Self { key: key.into(), message: PhantomData }
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.key
    }

    pub(crate) fn service(&self) -> Service {
        Service { key: self.key.clone(), message: type_name::<M>().into() }
    }
}

impl<M> Clone for ServiceKey<M> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), message: PhantomData }
    }
}

impl<M> fmt::Display for ServiceKey<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

impl<M> fmt::Debug for ServiceKey<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceKey({}, {})", self.key, type_name::<M>())
    }
}

/// A key with the name of its message type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Service {
    pub(crate) key: Arc<str>,
    pub(crate) message: Arc<str>,
}

/// The group of the actors of one node under one key. Actors of a higher `rank` are newer holders
/// of the same right: the rank of a singleton is its fencing token, all others have zero.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    pub(crate) service: Service,
    pub(crate) rank: u64,
    pub(crate) node: NodeId,
}

impl Group {
    /// The name of the group in `pg`.
    pub(crate) fn name(&self) -> String {
        let Self { service: Service { key, message }, rank, node } = self;
        format!("{key}|{message}|{rank}|{node}")
    }

    /// The group with that name; `None` for a name that another program has made.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.splitn(4, '|');
        let (key, message) = (parts.next()?, parts.next()?);
        let (rank, node) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        if !is_text(key) || key.len() > KEY_BYTES_MAX + 2 * RESERVED.len() {
            return None;
        }
        Some(Self { service: Service { key: key.into(), message: message.into() }, rank, node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_from_its_name_and_foreign_names_are_none() {
        let service = ServiceKey::<Vec<u8>>::new("chat: members").unwrap().service();
        let group = Group { service, rank: 7, node: NodeId::new("a-1", 3).unwrap() };
        assert_eq!(group.name(), "chat: members|alloc::vec::Vec<u8>|7|a-1@3");
        assert_eq!(Group::parse(&group.name()), Some(group));
        for name in ["", "a", "a|b|c", "a|b|x|a-1@3", "a|b|7|a-1", "|b|7|a-1@3", "a|b|7|a-1@3|"] {
            assert_eq!(Group::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_key_of_a_bad_form_is_refused() {
        for key in ["", "a|b", "a\nb", "antiphon.topic.a", &"x".repeat(257)] {
            assert!(ServiceKey::<u64>::new(key).is_err(), "{key:?}");
        }
        assert!(ServiceKey::<u64>::new("x".repeat(256)).is_ok());
    }
}
