//! The reason why an entity cannot go on as before, and its consequence.

use crate::reply::ReplyError;
use crate::{Error, ErrorKind};

/// The reason why an entity cannot go on as before.
#[derive(Debug)]
pub(super) enum Failure {
    /// Begin again from the journal. Askers of commands that are not durable get `answer`, changed
    /// where more is known of the effect.
    Restart { reason: String, answer: ReplyError },
    /// Another writer owns the stream.
    Fenced(Error),
    /// The journal cannot be understood, or the store refuses for ever.
    Failed(String),
}

impl Failure {
    /// The reason in words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Restart { reason, .. } | Self::Failed(reason) => reason.clone(),
            Self::Fenced(error) => error.to_string(),
        }
    }

    /// The failure of the entity that follows from a store's error.
    pub(super) fn of_store(what: &str, error: Error) -> Self {
        let reason = format!("{what}: {error}");
        match error.kind() {
            ErrorKind::Unavailable => {
                Self::Restart { answer: ReplyError::Unavailable(reason.clone()), reason }
            }
            // a bug: the store may have done anything
            ErrorKind::Bug => Self::Restart { answer: ReplyError::Stopped(reason.clone()), reason },
            ErrorKind::Timeout => Self::Restart { answer: ReplyError::Timeout, reason },
            ErrorKind::Fenced => Self::Fenced(error),
            ErrorKind::Rejected | ErrorKind::Corrupt => Self::Failed(reason),
        }
    }

    /// The failure that follows from a failed append, for the entity and for the commands whose
    /// events were in it.
    pub(super) fn of_append(error: Error) -> Self {
        let is_refusal = error.kind() == ErrorKind::Rejected;
        match Self::of_store("appending", error) {
            // the store refuses these events only: the entity goes on without them
            Self::Failed(reason) if is_refusal => {
                Self::Restart { answer: ReplyError::Rejected(reason.clone()), reason }
            }
            failure @ (Self::Restart { .. } | Self::Fenced(_) | Self::Failed(_)) => failure,
        }
    }
}
