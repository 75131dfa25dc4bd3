//! An answer that is a refusal of the application, apart from no answer at all.

use std::fmt;

use crate::{Error, ErrorKind};

use super::ReplyError;

/// The reason why an asker has no value: the application has refused, or there is no answer.
///
/// A command whose answer is a `Result<T, E>` is asked with `try_ask` (of an entity reference or an
/// entity handle), and the two errors become one: the refusal is an answer that was let out like
/// any other, after every event that it could have seen is durable. `E` is a type of the
/// application, and can travel between nodes like any answer.
///
/// ```
/// use antiphon_persistence::reply::{AskFailure, ReplyError};
///
/// #[derive(Debug, PartialEq)]
/// enum Refused { SoldOut }
///
/// fn status(outcome: Result<u32, AskFailure<Refused>>) -> u16 {
///     match outcome {
///         Ok(_) => 200,
///         Err(AskFailure::Refused(Refused::SoldOut)) => 409,
///         Err(AskFailure::NoAnswer(error)) if error.is_without_effect() => 503,
///         Err(AskFailure::NoAnswer(_)) => 502,
///     }
/// }
///
/// assert_eq!(status(Err(AskFailure::Refused(Refused::SoldOut))), 409);
/// assert_eq!(status(Err(ReplyError::Timeout.into())), 502);
/// ```
///
/// With `?` it becomes an [`Error`] if `E` is an error: a refusal has the kind `Rejected`, and the
/// rest the kind of its [`ReplyError`].
///
/// ```
/// use antiphon_persistence::reply::AskFailure;
/// use antiphon_persistence::{Error, ErrorKind};
///
/// #[derive(Debug)]
/// struct SoldOut;
/// impl std::fmt::Display for SoldOut {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         f.write_str("sold out")
///     }
/// }
/// impl std::error::Error for SoldOut {}
///
/// fn pieces(outcome: Result<u32, AskFailure<SoldOut>>) -> Result<u32, Error> {
///     Ok(outcome?)
/// }
///
/// let error = pieces(Err(AskFailure::Refused(SoldOut))).unwrap_err();
/// assert_eq!((error.kind(), error.to_string()), (ErrorKind::Rejected, "sold out".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskFailure<E> {
    /// The entity has answered with a refusal.
    Refused(E),
    /// There is no answer; the error says whether the command may have taken effect.
    NoAnswer(ReplyError),
}

impl<E> AskFailure<E> {
    /// The one result of an ask whose answer is a result.
    ///
    /// # Errors
    /// `Refused` when the answer is an error, `NoAnswer` when there is none.
    ///
    /// ```
    /// use antiphon_persistence::reply::{AskFailure, ReplyError};
    ///
    /// assert_eq!(AskFailure::<()>::flatten(Ok(Ok(5))), Ok(5));
    /// assert_eq!(AskFailure::flatten::<u8>(Ok(Err("no"))), Err(AskFailure::Refused("no")));
    /// let none: Result<Result<u8, ()>, _> = Err(ReplyError::NoReply);
    /// assert_eq!(AskFailure::flatten(none), Err(AskFailure::NoAnswer(ReplyError::NoReply)));
    /// ```
    pub fn flatten<T>(asked: Result<Result<T, E>, ReplyError>) -> Result<T, Self> {
        asked?.map_err(Self::Refused)
    }

    /// The refusal, if there is one.
    ///
    /// ```
    /// use antiphon_persistence::reply::{AskFailure, ReplyError};
    ///
    /// assert_eq!(AskFailure::Refused("sold out").refusal(), Some("sold out"));
    /// assert_eq!(AskFailure::<&str>::NoAnswer(ReplyError::Timeout).refusal(), None);
    /// ```
    pub fn refusal(self) -> Option<E> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::NoAnswer(_) => None,
        }
    }
}

impl<E> From<ReplyError> for AskFailure<E> {
    fn from(error: ReplyError) -> Self {
        Self::NoAnswer(error)
    }
}

impl<E: fmt::Display> fmt::Display for AskFailure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NoAnswer(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for AskFailure<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(refusal) => refusal.source(),
            Self::NoAnswer(error) => error.source(),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<AskFailure<E>> for Error {
    fn from(failure: AskFailure<E>) -> Self {
        match failure {
            AskFailure::Refused(refusal) => {
                Self::new(ErrorKind::Rejected, refusal.to_string()).with_source(refusal)
            }
            AskFailure::NoAnswer(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_failures_keep_their_kind_their_text_and_their_source() {
        let refused = AskFailure::Refused(fmt::Error);
        assert_eq!(refused.to_string(), fmt::Error.to_string());
        let error = Error::from(refused);
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(std::error::Error::source(&error).is_some_and(|why| why.is::<fmt::Error>()));

        let none = AskFailure::<fmt::Error>::from(ReplyError::Timeout);
        assert_eq!(none.to_string(), ReplyError::Timeout.to_string());
        let error = Error::from(none);
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(std::error::Error::source(&error).is_some_and(|why| why.is::<ReplyError>()));
    }
}
