//! Errors in place of an answer, and the knowledge of the command's effect.

use std::fmt;

use super::Missing;
use crate::{Error, ErrorKind};

/// The known effect of a command that was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandEffect {
    /// The command has certainly not taken effect and never will: it can be sent again.
    None,
    /// The command may have taken effect, or may still take effect.
    Unknown,
}

/// The reason why there is no answer.
///
/// The kind is chosen by *where the command was* when it failed, never by the cause: each kind
/// belongs to one [`CommandEffect`]. Code that makes an error of a kind without effect must know
/// that nothing of the command was stored and that nobody will handle it. A later error (an answer
/// that cannot be sent, say) has a kind whose effect is unknown.
///
/// ```
/// use antiphon_persistence::reply::{CommandEffect, ReplyError};
///
/// let full = ReplyError::Overloaded("`mailbox_max` 1000".into());
/// assert_eq!(full.effect(), CommandEffect::None, "it can be sent again");
/// assert_eq!(ReplyError::Timeout.effect(), CommandEffect::Unknown);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyError {
    /// The handler dropped its `ReplyTo` without an answer; the command may have taken effect.
    NoReply,
    /// No answer came in time after the command had been handed over; it may have taken effect, or
    /// may still take effect.
    Timeout,
    /// Nobody was there to handle the command; it has not taken effect.
    NotHere(String),
    /// A bound was hit; the command has not taken effect.
    Overloaded(String),
    /// The entity or its node ended while the command's events were on their way to the journal;
    /// the command may have taken effect.
    Stopped(String),
    /// The command cannot be handled as it is: too large, not encodable, or not allowed; it has not
    /// taken effect.
    Rejected(String),
    /// The journal could not take the events, or the entity cannot take commands now; the command
    /// has not taken effect.
    Unavailable(String),
    /// The link to the other node broke while the command was under way; the command may have taken
    /// effect, or may still take effect.
    Unreachable(String),
    /// The command was handled, but its answer could not be made, sent or read; the command may
    /// have taken effect.
    Unanswered(String),
    /// The asker's time was over before the command was handed over: it is void, and has not taken
    /// effect.
    Expired(String),
    /// A command with the same request id was done before (`ask_once`), and there is no answer of
    /// it that could be given again; it has taken effect, once.
    Done(String),
    /// The application's code failed before anything of the command was stored; the command has not
    /// taken effect.
    Failed(String),
    /// The replica has not the events that the session of the command has seen, and did not get
    /// them in time; the command has not taken effect.
    Behind(Missing),
}

impl ReplyError {
    /// The known effect of the command.
    pub fn effect(&self) -> CommandEffect {
        match self {
            Self::NotHere(_)
            | Self::Overloaded(_)
            | Self::Rejected(_)
            | Self::Unavailable(_)
            | Self::Expired(_)
            | Self::Failed(_)
            | Self::Behind(_) => CommandEffect::None,
            Self::NoReply
            | Self::Timeout
            | Self::Stopped(_)
            | Self::Unreachable(_)
            | Self::Unanswered(_)
            | Self::Done(_) => CommandEffect::Unknown,
        }
    }

    /// Returns whether the command has certainly not taken effect and never will.
    pub fn is_without_effect(&self) -> bool {
        self.effect() == CommandEffect::None
    }

    /// The same error for a command that may have taken effect: the kind becomes one whose effect
    /// is unknown.
    #[must_use]
    pub fn with_unknown_effect(self) -> Self {
        match self {
            Self::NotHere(why) | Self::Unavailable(why) | Self::Expired(why) => Self::Stopped(why),
            Self::Overloaded(why) | Self::Rejected(why) | Self::Failed(why) => {
                Self::Unanswered(why)
            }
            Self::Behind(_) => Self::Stopped(self.to_string()),
            unknown @ (Self::NoReply
            | Self::Timeout
            | Self::Stopped(_)
            | Self::Unreachable(_)
            | Self::Unanswered(_)
            | Self::Done(_)) => unknown,
        }
    }

    /// The same error for a command of which nothing was stored, for certain, and that nobody will
    /// handle.
    #[must_use]
    pub fn without_effect(self) -> Self {
        match self {
            Self::NoReply => Self::Unavailable(self.to_string()),
            Self::Timeout => Self::Unavailable("no answer in time: nothing was stored".to_owned()),
            Self::Stopped(why)
            | Self::Unreachable(why)
            | Self::Unanswered(why)
            | Self::Done(why) => Self::Unavailable(why),
            none @ (Self::NotHere(_)
            | Self::Overloaded(_)
            | Self::Rejected(_)
            | Self::Unavailable(_)
            | Self::Expired(_)
            | Self::Failed(_)
            | Self::Behind(_)) => none,
        }
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReply => f.write_str("no reply: the handler let go of its `ReplyTo`"),
            Self::Timeout => f.write_str("no answer in time: the outcome is unknown"),
            Self::NotHere(why) => write!(f, "not here: {why}"),
            Self::Overloaded(why) => write!(f, "overloaded: {why}"),
            Self::Stopped(why) => write!(f, "stopped, the outcome is unknown: {why}"),
            Self::Rejected(why) => write!(f, "rejected: {why}"),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
            Self::Unreachable(why) => write!(f, "unreachable, the outcome is unknown: {why}"),
            Self::Unanswered(why) => write!(f, "handled without an answer: {why}"),
            Self::Done(why) => write!(f, "done before: {why}"),
            Self::Expired(why) => write!(f, "expired: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Behind(missing) => write!(f, "behind: the replica has not {missing}"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// The error of a caller that does not look at the reason, by its effect: an error without effect
/// never becomes [`ErrorKind::Timeout`], and one of unknown effect always does.
///
/// ```
/// use antiphon_base::{Error, ErrorKind};
/// use antiphon_persistence::reply::{ReplyError, reply_channel};
///
/// fn balance() -> Result<i64, Error> {
///     let (reply_to, reply) = reply_channel();
///     reply_to.fail(ReplyError::NotHere("the entity has moved".into()));
///     Ok(reply.now()?)
/// }
///
/// assert_eq!(balance().unwrap_err().kind(), ErrorKind::Unavailable);
/// ```
impl From<ReplyError> for Error {
    fn from(error: ReplyError) -> Self {
        let kind = match &error {
            ReplyError::NotHere(_)
            | ReplyError::Overloaded(_)
            | ReplyError::Unavailable(_)
            | ReplyError::Expired(_)
            | ReplyError::Behind(_) => ErrorKind::Unavailable,
            // the same command would fail again
            ReplyError::Rejected(_) | ReplyError::Failed(_) => ErrorKind::Rejected,
            ReplyError::NoReply
            | ReplyError::Timeout
            | ReplyError::Stopped(_)
            | ReplyError::Unreachable(_)
            | ReplyError::Unanswered(_)
            | ReplyError::Done(_) => ErrorKind::Timeout,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_is_moved_past_the_effect_is_never_without_effect() {
        let why = || "x".to_owned();
        for error in [
            ReplyError::NoReply,
            ReplyError::Timeout,
            ReplyError::NotHere(why()),
            ReplyError::Overloaded(why()),
            ReplyError::Stopped(why()),
            ReplyError::Rejected(why()),
            ReplyError::Unavailable(why()),
            ReplyError::Unreachable(why()),
            ReplyError::Unanswered(why()),
            ReplyError::Done(why()),
            ReplyError::Expired(why()),
            ReplyError::Failed(why()),
            ReplyError::Behind(Missing::parse("A|1|2").unwrap()),
        ] {
            assert!(!error.clone().with_unknown_effect().is_without_effect(), "{error}");
            let certain = error.clone().without_effect();
            assert!(certain.is_without_effect(), "{error}");
            assert!(!certain.to_string().contains("unknown"), "it contradicts itself: {certain}");

            let (is_unknown, shown) = (!error.is_without_effect(), error.to_string());
            let error = Error::from(error);
            assert_eq!(error.kind() == ErrorKind::Timeout, is_unknown, "{error}");
            assert_eq!(error.to_string(), shown);
            assert!(std::error::Error::source(&error).is_some_and(|why| why.is::<ReplyError>()));
        }
    }
}
