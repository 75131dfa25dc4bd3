//! A stream of requests that is written while it is answered.

use futures::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind, Result};

/// The sending end of the last stream that was opened. Each attempt to open has a stream of its
/// own; the successful one is the last.
pub(crate) struct Requests<T> {
    sender: Mutex<Option<mpsc::Sender<T>>>,
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Self { sender: Mutex::new(None) }
    }
}

impl<T: Send + 'static> Requests<T> {
    /// A new stream, which begins with `first` and holds `count_max` requests.
    pub(crate) fn open(
        &self,
        first: Option<T>,
        count_max: usize,
    ) -> impl Stream<Item = T> + Send + use<T> {
        let (sender, receiver) = mpsc::channel(count_max);
        *self.sender.lock() = Some(sender);
        let rest = stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|request| (request, receiver))
        });
        stream::iter(first).chain(rest)
    }

    /// The sending end of the stream of the call `doing`.
    pub(crate) fn into_sender(self, doing: &str) -> Result<mpsc::Sender<T>> {
        let sender = self.sender.into_inner();
        sender.ok_or_else(|| Error::of(ErrorKind::Bug, doing, "opened without a call"))
    }
}
