//! The bounds of labels that are read. They are wider than those of labels that are made, so that
//! a node reads what a version with other constants has stored or sent.

/// Most entries of metadata, or tags of an event, that are read.
pub(super) const READ_COUNT_MAX: usize = 1024;

/// Most bytes of the keys, values and tags of an event that are read.
pub(super) const READ_BYTES_MAX: usize = 64 * 1024;
