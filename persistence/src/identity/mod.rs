//! Names: of replicas, of entities, of their streams, and the slices that place them.

mod persistence_id;
mod replica_id;
mod replication_id;
mod slice;

pub use persistence_id::PersistenceId;
pub use replica_id::ReplicaId;
pub use replication_id::ReplicationId;
pub use slice::{SLICE_COUNT, Slice, SliceRange};

use antiphon_base::text::foreign;

use crate::{Error, Result};

/// Longest part of an identifier, in bytes.
pub const NAME_BYTES_MAX: usize = 512;

/// The separator of the parts of a [`ReplicationId`]; no part may contain it.
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

/// Checks one part of an identifier that must not be empty, with the rules of [`check_part`].
fn check_name(what: &str, text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(Error::rejected(format!("{what}: expected a name, actual an empty text")));
    }
    check_part(what, text)
}
