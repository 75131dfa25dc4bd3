//! The binary records in the rows, one file each.

pub(crate) mod batch;
mod bytes;
pub(crate) mod version;
