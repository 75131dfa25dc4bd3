//! The binary records that stores keep events in, one file each; for backends.
//!
//! Each has golden bytes in its tests: what is stored stays readable.

pub mod batch;
pub mod bytes;
pub mod version;
