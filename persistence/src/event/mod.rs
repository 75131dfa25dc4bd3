//! The content of a journal: events with their metadata and encoded payloads.

mod bounds;
mod labels;
mod metadata;
mod payload;
mod request_id;
mod sequence_nr;
mod serial;
mod stored;
mod tags;

pub use labels::Labels;
pub use metadata::{METADATA_BYTES_MAX, METADATA_COUNT_MAX, METADATA_KEY_BYTES_MAX, Metadata};
pub use payload::{MANIFEST_BYTES_MAX, Payload};
pub use request_id::{REQUEST_ID_BYTES_MAX, RequestId};
pub use sequence_nr::SequenceNr;
pub use stored::{EventMeta, StoredEvent};
pub use tags::{TAG_BYTES_MAX, TAGS_MAX, Tags};

#[cfg(test)]
mod tests;
