//! Answers in JSON, and the end of a connection whose body nobody reads.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// Most bytes of a body that are read for a request that is refused without a look at its body. The
/// client can send all of it before it reads the answer, and use the connection again.
pub(super) const IGNORED_BODY_BYTES_MAX: usize = 64 * 1024;

/// The mark of an answer to a request that reached the application or an entity, and so may have
/// taken effect. Its line in the audit log is never left out.
#[derive(Debug, Clone, Copy)]
pub struct MayHaveActed;

/// An answer in JSON.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    let body = format!("{body:#}\n");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Answers a request whose body nobody wants: the body is read first, or else the connection is
/// closed.
pub(super) async fn without_body(request: Request, answer: Response) -> Response {
    match to_bytes(request.into_body(), IGNORED_BODY_BYTES_MAX).await {
        Ok(_) => answer,
        Err(_) => and_close(answer),
    }
}

/// Says that the connection is closed after the answer.
pub(super) fn and_close(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}
