//! An append on its way to a lane.

use std::sync::Arc;

use antiphon_base::Result;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::entry::{EncodedAppend, Stream};

/// An append that waits for its answer.
pub(super) struct Job {
    pub(super) stream: Arc<Stream>,
    pub(super) append: EncodedAppend,
    pub(super) answer: oneshot::Sender<Result<()>>,
    pub(super) _room: Room,
}

/// The room that a waiting append takes: a place in the queue, and its bytes.
pub(crate) struct Room {
    pub(crate) _place: OwnedSemaphorePermit,
    pub(crate) _bytes: OwnedSemaphorePermit,
}
