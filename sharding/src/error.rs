//! Why an entity did not answer.

use std::fmt;

use antiphon_persistence::reply::ReplyError;
use antiphon_runtime::AskError as GateError;

/// Why an entity did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskError {
    /// No answer in time: the command may have taken effect, or may still.
    Timeout,
    /// The handler let go of its `ReplyTo` without an answer: the command may have taken effect.
    NoReply,
    /// A bound was hit: the command has not taken effect. Slow down.
    Overloaded(String),
    /// The entity or its node stopped: the command may have taken effect.
    Stopped(String),
    /// Nobody was there to handle the command: it has not taken effect. Try again later, or at another replica.
    NotHere(String),
    /// The command cannot be handled as it is.
    Rejected(String),
    /// The journal could not take the events: the command has not taken effect. Try again later.
    Unavailable(String),
}

impl AskError {
    /// Whether it is certain that the command has not taken effect, so that it can safely be sent again.
    pub fn is_without_effect(&self) -> bool {
        match self {
            Self::Overloaded(_) | Self::NotHere(_) | Self::Rejected(_) | Self::Unavailable(_) => {
                true
            }
            Self::Timeout | Self::NoReply | Self::Stopped(_) => false,
        }
    }
}

impl From<ReplyError> for AskError {
    fn from(error: ReplyError) -> Self {
        match error {
            ReplyError::NoReply => Self::NoReply,
            ReplyError::Timeout => Self::Timeout,
            ReplyError::NotHere(why) => Self::NotHere(why),
            ReplyError::Overloaded(why) => Self::Overloaded(why),
            ReplyError::Stopped(why) => Self::Stopped(why),
            ReplyError::Rejected(why) => Self::Rejected(why),
            ReplyError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// What a broken ask of the gate means to the asker of an entity.
pub(crate) fn reply_error(error: GateError) -> ReplyError {
    match error {
        GateError::Timeout | GateError::Unreachable(_) => ReplyError::Timeout,
        GateError::NoReply => ReplyError::NoReply,
        GateError::NotHere(what) => ReplyError::NotHere(what),
        GateError::Overloaded(what) => ReplyError::Overloaded(what),
        GateError::Stopped(what) => ReplyError::Stopped(what),
        GateError::Rejected(why) => ReplyError::Rejected(why),
        error @ GateError::TooLarge { .. } => ReplyError::Rejected(error.to_string()),
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time: the outcome is unknown"),
            Self::NoReply => f.write_str("no reply: the handler let go of its `ReplyTo`"),
            Self::Overloaded(why) => write!(f, "overloaded: {why}"),
            Self::Stopped(why) => write!(f, "stopped: {why}"),
            Self::NotHere(why) => write!(f, "not here: {why}"),
            Self::Rejected(why) => write!(f, "rejected: {why}"),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
        }
    }
}

impl std::error::Error for AskError {}
