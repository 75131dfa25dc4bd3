//! Events that an operator has skipped: such an event keeps its place in the stream without its
//! content, so that every replica has the same events and the same version.

use bytes::Bytes;

use crate::event::{Payload, StoredEvent};

/// The codec number of a skipped event.
const SKIPPED: u8 = 0;

/// Returns whether the event was skipped: it has its place in the stream and no content.
pub(super) fn is_skipped(event: &StoredEvent) -> bool {
    event.payload.codec == SKIPPED
}

/// Takes the content out of an event.
pub(super) fn skip(event: &mut StoredEvent) {
    let Payload { manifest, version, .. } = event.payload.clone();
    event.payload = Payload { codec: SKIPPED, manifest, version, bytes: Bytes::new() };
}
