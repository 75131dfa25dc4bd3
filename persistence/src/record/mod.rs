//! The binary records of the stores' rows, one file each; for backends.
//!
//! Each has golden bytes in its tests, so that stored records stay readable.

pub mod batch;
pub mod bytes;
pub mod cell;
pub mod checksum;
pub mod labels;
pub mod reminder;
pub mod requests;
pub mod snapshot;
pub mod version;
