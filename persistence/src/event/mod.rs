//! The content of a journal: events with their metadata and encoded payloads.

mod payload;
mod sequence_nr;
mod stored;

pub use payload::{MANIFEST_BYTES_MAX, Payload};
pub use sequence_nr::SequenceNr;
pub use stored::{EventMeta, StoredEvent};

#[cfg(test)]
mod tests;
