//! Parts of requests and answers that several services share.

use std::pin::Pin;

use antiphon_eventstore::wire;
use futures::{Stream, StreamExt, future};
use tonic::Status;

use crate::refusal;

/// A stream of answers.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers that end after the first error.
pub(super) fn answers<T: Send + 'static>(
    all: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> Answers<T> {
    Box::pin(all.scan(false, |is_over, answer| {
        let was_over = std::mem::replace(is_over, answer.is_err());
        future::ready((!was_over).then_some(answer))
    }))
}

/// The options of a request.
pub(super) fn required<T>(options: Option<T>, what: &str) -> Result<T, Status> {
    options.ok_or_else(|| refusal::malformed(what))
}

/// The name of a stream as text.
pub(super) fn name(stream: Option<wire::StreamName>) -> Result<String, Status> {
    let name = stream.map(|stream| stream.name).unwrap_or_default();
    if name.is_empty() {
        return Err(refusal::malformed("stream identifier"));
    }
    String::from_utf8(name.to_vec()).map_err(|_| refusal::invalid("a stream's name is no UTF-8"))
}

/// Returns true when the caller wants ids as text.
pub(super) fn wants_text(form: Option<&wire::UuidForm>) -> bool {
    matches!(form, Some(wire::UuidForm { form: Some(wire::uuid_form::Form::Text(_)) }))
}
