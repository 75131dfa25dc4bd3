//! The services of the wire protocol.

pub(crate) mod about;
mod batch;
mod group_info;
pub(crate) mod group_record;
pub(crate) mod persistent;
mod reader;
pub(crate) mod streams;

use std::pin::Pin;

use futures::Stream;
use tonic::Status;

/// A stream of answers.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The name of a stream as text.
pub(crate) fn name(
    stream: Option<antiphon_eventstore::wire::StreamName>,
) -> Result<String, Status> {
    let name = stream.map(|stream| stream.name).unwrap_or_default();
    if name.is_empty() {
        return Err(crate::refusal::malformed("stream identifier"));
    }
    String::from_utf8(name.to_vec())
        .map_err(|_| crate::refusal::invalid("a stream's name is no UTF-8"))
}
