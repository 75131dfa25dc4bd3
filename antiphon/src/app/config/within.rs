//! The place of an error in a configuration.

use crate::prelude::*;

/// The error, with the table or the key in which it was found.
pub(super) fn within(table: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("`{table}`: {error}"))
}

/// The error, with the other place in whose table it was found.
pub(super) fn within_peer(place: &str, error: &Error) -> Error {
    within(&format!("peers: place {place:?}"), error)
}
