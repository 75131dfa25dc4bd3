//! The error of an ask, at the level of entities.

use antiphon_persistence::reply::ReplyError;
use antiphon_runtime::AskError as GateError;

/// Translates an error of the gate's ask, which is about one message to one node, into the error of
/// an entity's asker.
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

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use antiphon_base::{Error, ErrorKind};
    use antiphon_persistence::reply::Missing;

    use super::*;

    #[test]
    fn an_application_that_converts_the_error_of_an_ask_keeps_the_knowledge_of_the_effect() {
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
            ReplyError::Done(why()),
            ReplyError::Behind(Missing::parse("A|1|2").unwrap()),
        ] {
            let converted = Error::from(error.clone());
            let is_without_effect =
                matches!(converted.kind(), ErrorKind::Unavailable | ErrorKind::Rejected);
            assert_eq!(is_without_effect, error.is_without_effect(), "{error}");
            assert_eq!(converted.kind() == ErrorKind::Timeout, !is_without_effect, "{error}");
            let source = converted.source().and_then(|source| source.downcast_ref::<ReplyError>());
            assert_eq!(source, Some(&error), "a caller can still look at the kind");
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
