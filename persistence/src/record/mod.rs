//! The binary records that stores keep their rows in, one file each; for backends.
//!
//! Each has golden bytes in its tests: what is stored stays readable.

pub mod batch;
pub mod bytes;
pub mod cell;
pub mod checksum;
pub mod snapshot;
pub mod version;
