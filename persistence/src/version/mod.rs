//! Version vectors: per origin, the number of events that a replica has; and the token by which a
//! client carries one.

mod token;
mod vector;

pub use token::{SESSION_TOKEN_BYTES_MAX, SessionToken};
pub use vector::{Causality, VersionVector};
