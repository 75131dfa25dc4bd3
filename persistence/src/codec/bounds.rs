//! The bounds of every codec.

/// Largest accepted event, command, reply or snapshot, in encoded bytes, unless a setting says
/// otherwise.
pub const PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Largest accepted state of a snapshot, in encoded bytes; a store may accept less.
pub const STATE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Deepest nesting of a value: each option, structure, tuple, sequence, map and variant with a
/// content counts one.
pub const DEPTH_MAX: usize = 128;

/// Most sequence elements in one value that take no bytes in bincode, such as units.
pub const EMPTY_ELEMENTS_MAX: usize = 4096;
