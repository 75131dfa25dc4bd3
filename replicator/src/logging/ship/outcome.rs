//! The meaning of a server's answer to a batch of log lines.

use hyper::StatusCode;

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The server has the lines.
    Sent,
    /// The server will never take this batch, for this reason; perhaps a part of it.
    Refused(String),
    /// The server does not take lines now.
    Later(String),
}

/// The outcome of an answer. Only an answer about the content refuses it: a wrong key, a wrong
/// address and too many requests are mended while the lines wait.
pub(super) fn outcome(status: StatusCode) -> Outcome {
    match status {
        status if status.is_success() => Outcome::Sent,
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Refused(format!("it answered {status}")),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Outcome::Later(format!("it answered {status}: is the argument `apiKey` right?"))
        }
        status => Outcome::Later(format!("it answered {status}")),
    }
}
