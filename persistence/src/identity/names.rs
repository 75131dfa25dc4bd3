//! The rules of names: the parts of an identifier, and its text form.

use antiphon_base::text::foreign;

use crate::{Error, Result};

/// Longest part of an identifier, in bytes.
pub const NAME_BYTES_MAX: usize = 512;

/// The separator of the parts of a [`ReplicationId`](super::ReplicationId); no part may contain it.
pub const SEPARATOR: char = '|';

/// Checks one part of an identifier: no separator, no control character, not over the limit.
fn check_part(what: &str, text: &str) -> Result<()> {
    if text.contains(SEPARATOR) {
        return Err(Error::rejected(format!(
            "{what} `{}`: expected a name without `|`, which separates the parts of an id",
            foreign(text)
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::rejected(format!(
            "{what} `{}`: expected no control characters",
            foreign(text)
        )));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(Error::rejected(format!(
            "{what}: expected at most {NAME_BYTES_MAX} bytes, actual {}",
            text.len()
        )));
    }
    Ok(())
}

/// Checks one part of an identifier that must not be empty: no separator, no control character, not
/// over the limit.
fn check_name(what: &str, text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(Error::rejected(format!("{what}: expected a name, actual an empty text")));
    }
    check_part(what, text)
}

/// Checks the entity type and the entity id.
pub(super) fn check_entity(entity_type: &str, entity_id: &str) -> Result<()> {
    check_name("entity type", entity_type)?;
    check_name("entity id", entity_id)
}

/// Checks the name of a replica.
pub(super) fn check_replica(name: &str) -> Result<()> {
    check_name("replica id", name)
}

/// The parts of a text form: entity type, entity id and, if it is there, the replica.
///
/// # Errors
/// `Rejected` when the text does not have two or three parts, or when a part is not allowed.
pub(super) fn parts(text: &str) -> Result<(&str, &str, Option<&str>)> {
    let parts: Vec<&str> = text.split(SEPARATOR).collect();
    let (entity_type, entity_id, replica) = match parts[..] {
        [entity_type, entity_id] => (entity_type, entity_id, None),
        [entity_type, entity_id, replica] => (entity_type, entity_id, Some(replica)),
        _ => {
            return Err(Error::rejected(format!(
                "persistence id `{}`: expected `type|entity` or `type|entity|replica`, actual {} parts",
                foreign(text),
                parts.len()
            )));
        }
    };
    replica.map_or(Ok(()), check_replica)?;
    check_entity(entity_type, entity_id)?;
    Ok((entity_type, entity_id, replica))
}
