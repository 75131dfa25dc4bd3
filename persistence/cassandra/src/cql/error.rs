//! Classifies errors of the driver: tells whether a statement may have taken effect.

use antiphon_base::{Error, ErrorKind};
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

use crate::tables::Failed;

/// The failure of a statement. `statement` is its name in the metrics.
pub(super) fn failed(statement: &str, error: ExecutionError) -> Failed {
    let (unknown, kind) = meaning(&error);
    let message = format!("cassandra: {statement}: {error}");
    Failed { unknown, error: Error::new(kind, message).with_source(error) }
}

/// True when no connection is left to send on, or when the connection broke.
pub(super) fn is_disconnected(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::EmptyPlan
            | ExecutionError::ConnectionPoolError(_)
            | ExecutionError::LastAttemptError(RequestAttemptError::BrokenConnectionError(_))
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what the driver adds later is unknown, which is safe"
)]
fn meaning(error: &ExecutionError) -> (bool, ErrorKind) {
    match error {
        ExecutionError::BadQuery(_) => (false, ErrorKind::Bug),
        ExecutionError::EmptyPlan
        | ExecutionError::ConnectionPoolError(_)
        | ExecutionError::PrepareError(_) => (false, ErrorKind::Unavailable),
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _)) => {
            of_server(error)
        }
        ExecutionError::LastAttemptError(
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_),
        ) => (false, ErrorKind::Bug),
        ExecutionError::LastAttemptError(RequestAttemptError::UnableToAllocStreamId) => {
            (false, ErrorKind::Unavailable)
        }
        // any other error after the statement was sent
        _ => (true, ErrorKind::Timeout),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what the driver adds later is unknown, which is safe"
)]
fn of_server(error: &DbError) -> (bool, ErrorKind) {
    match error {
        // refused before anything was sent to a replica
        DbError::Unavailable { .. }
        | DbError::Overloaded
        | DbError::IsBootstrapping
        | DbError::RateLimitReached { .. } => (false, ErrorKind::Unavailable),
        DbError::SyntaxError | DbError::Invalid | DbError::ConfigError | DbError::ProtocolError => {
            (false, ErrorKind::Rejected)
        }
        DbError::AuthenticationError | DbError::Unauthorized => (false, ErrorKind::Rejected),
        _ => (true, ErrorKind::Timeout),
    }
}

/// The error of a row that does not fit the schema.
pub(super) fn unreadable(statement: &str, error: impl std::fmt::Display) -> Failed {
    let error = Error::corrupt(format!("cassandra: {statement}: a row is unreadable: {error}"));
    Failed { unknown: false, error }
}
