//! The messages of an opened stream of answers. Every end that a user did not ask for is an error.

use tokio::time::Instant;
use tonic::Streaming;

use crate::client::{EventStoreClient, Opened};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Link, within};

/// The answers of the call `doing`, which only reads.
#[derive(Debug)]
pub(crate) struct Messages<T> {
    client: EventStoreClient,
    doing: String,
    stream: Streaming<T>,
    link: Link,
    /// Deadline for the server's confirmation of a subscription; none after it arrived.
    confirmed_by: Option<Instant>,
}

impl<T> Messages<T> {
    /// Answers that end with the last one.
    pub(crate) fn new(client: &EventStoreClient, doing: String, opened: Opened<T>) -> Self {
        let Opened { messages: stream, link } = opened;
        Self { client: client.clone(), doing, stream, link, confirmed_by: None }
    }

    /// Answers without an end, which begin with a confirmation.
    pub(crate) fn endless(client: &EventStoreClient, doing: String, opened: Opened<T>) -> Self {
        let confirmed_by = Some(client.now() + client.settings().request_timeout);
        Self { confirmed_by, ..Self::new(client, doing, opened) }
    }

    /// The confirmation has arrived: later messages may take any time.
    pub(crate) fn confirmed(&mut self) {
        self.confirmed_by = None;
    }

    /// The next of endless answers. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<T> {
        let message = match self.confirmed_by {
            None => self.stream.message().await,
            Some(deadline) => {
                let first = tokio::time::timeout_at(deadline, self.stream.message());
                first.await.map_err(|_| {
                    let why = "the server did not confirm within the setting `request_timeout`";
                    self.error(ErrorKind::Unavailable, why)
                })?
            }
        };
        match message {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(self.error(ErrorKind::Unavailable, "the server ended the stream")),
            Err(status) => Err(self.client.ended(&self.doing, status, &self.link)),
        }
    }

    /// The next answer, which must come within `request_timeout`; none after the last. Cancel-safe.
    pub(crate) async fn next_soon(&mut self) -> Result<Option<T>> {
        let limit = self.client.settings().request_timeout;
        match within(limit, self.stream.message()).await {
            Some(Ok(message)) => Ok(message),
            Some(Err(status)) => Err(self.client.ended(&self.doing, status, &self.link)),
            None => {
                let why = format!("no event within {limit:?} (setting `request_timeout`)");
                Err(self.error(ErrorKind::Unavailable, &why))
            }
        }
    }

    pub(crate) fn not_found(&self) -> Error {
        self.error(ErrorKind::NotFound, "the stream does not exist")
    }

    fn error(&self, kind: ErrorKind, why: &str) -> Error {
        Error::of(kind, &self.doing, why)
    }
}
