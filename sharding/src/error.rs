//! The reasons why an entity did not answer.

use std::fmt;

use antiphon_persistence::reply::ReplyError;
use antiphon_runtime::AskError as GateError;

/// The reason why an entity did not answer. Each kind says what is known of the command's effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskError {
    /// No answer came in time, and the command had been handed over: it may have taken effect, or
    /// may still.
    Timeout,
    /// The handler let go of its `ReplyTo` without an answer: the command may have taken effect.
    NoReply,
    /// A limit was hit: the command has not taken effect. Send fewer commands.
    Overloaded(String),
    /// The entity or its node ended while the command's events were on their way to the journal:
    /// the command may have taken effect.
    Stopped(String),
    /// No node handled the command: it has not taken effect. Try again later, or at another
    /// replica.
    NotHere(String),
    /// The command cannot be handled as it is: it has not taken effect.
    Rejected(String),
    /// The journal could not take the events, or the entity cannot take commands now: the command
    /// has not taken effect. Try again later.
    Unavailable(String),
    /// The link to the other node broke while the command was under way: it may have taken effect,
    /// or may still.
    Unreachable(String),
    /// The command was handled, but its answer could not be made, sent or read: the command may
    /// have taken effect.
    Unanswered(String),
    /// The asker's time was over before the command was handed over: the command is void, and has
    /// not taken effect.
    Expired(String),
    /// The application's code failed before any event of the command was stored: the command has
    /// not taken effect.
    Failed(String),
}

impl AskError {
    /// Returns true when the command certainly has not taken effect and never will: it can be sent
    /// again safely.
    pub fn is_without_effect(&self) -> bool {
        match self {
            Self::Overloaded(_)
            | Self::NotHere(_)
            | Self::Rejected(_)
            | Self::Unavailable(_)
            | Self::Expired(_)
            | Self::Failed(_) => true,
            Self::Timeout
            | Self::NoReply
            | Self::Stopped(_)
            | Self::Unreachable(_)
            | Self::Unanswered(_) => false,
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
            ReplyError::Unreachable(why) => Self::Unreachable(why),
            ReplyError::Unanswered(why) => Self::Unanswered(why),
            ReplyError::Expired(why) => Self::Expired(why),
            ReplyError::Failed(why) => Self::Failed(why),
        }
    }
}

/// Translates an error of the gate's ask into the error of an entity's asker.
pub(crate) fn reply_error(error: GateError) -> ReplyError {
    match error {
        GateError::Timeout => ReplyError::Timeout,
        GateError::Unreachable(why) => ReplyError::Unreachable(why),
        GateError::Unanswered(why) => ReplyError::Unanswered(why),
        GateError::NoReply => ReplyError::NoReply,
        GateError::NotHere(what) | GateError::NotConnected(what) | GateError::Stopped(what) => {
            ReplyError::NotHere(what)
        }
        GateError::Overloaded(what) => ReplyError::Overloaded(what),
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
            Self::Stopped(why) => write!(f, "stopped, the outcome is unknown: {why}"),
            Self::NotHere(why) => write!(f, "not here: {why}"),
            Self::Rejected(why) => write!(f, "rejected: {why}"),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
            Self::Unreachable(why) => write!(f, "unreachable, the outcome is unknown: {why}"),
            Self::Unanswered(why) => write!(f, "handled without an answer: {why}"),
            Self::Expired(why) => write!(f, "expired: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

impl std::error::Error for AskError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asker_learns_the_effect_that_the_error_was_made_with() {
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
            ReplyError::Expired(why()),
            ReplyError::Failed(why()),
        ] {
            let asked = AskError::from(error.clone());
            assert_eq!(asked.is_without_effect(), error.is_without_effect(), "{error}");
        }
    }

    #[test]
    fn a_link_that_broke_is_no_timeout_and_a_missing_one_is_without_effect() {
        let broken = reply_error(GateError::Unreachable("x".into()));
        assert_eq!(broken, ReplyError::Unreachable("x".into()));
        assert!(!broken.is_without_effect());
        assert!(reply_error(GateError::NotConnected("x".into())).is_without_effect());
        assert!(!reply_error(GateError::Unanswered("x".into())).is_without_effect());
    }
}
