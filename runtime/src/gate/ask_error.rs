//! The reason why an ask has no answer. It also travels over the wire, so a new variant goes to the
//! end.

use std::fmt;

use antiphon_base::text::{cut, foreign};
use antiphon_persistence::codec::CodecId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::transport::SendError;
use crate::{Error, ErrorKind};

/// Limit of the bytes of an encoded error that is read.
const ERROR_BYTES_MAX: usize = 4096;
/// Limit of the bytes of the text in an error that is sent.
const WHY_BYTES_MAX: usize = 1024;

/// The reason why an ask has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskError {
    /// No answer in time: the request may have taken effect, or may still take effect.
    Timeout,
    /// The asked node does not have the named thing: nothing was done, ask elsewhere.
    NotHere(String),
    /// A queue on the way is full: nothing was done, slow down.
    Overloaded(String),
    /// The asked node or part is stopping: nothing was done, ask elsewhere or later.
    Stopped(String),
    /// The connection broke while the request was under way: it may have taken effect, or may still
    /// take effect.
    Unreachable(String),
    /// The request was received, and its responder was dropped.
    NoReply,
    /// The request is over a limit: nothing was sent.
    TooLarge {
        /// The size in bytes.
        actual: usize,
        /// The limit in bytes.
        limit: usize,
        /// The setting of the limit.
        setting: String,
    },
    /// The request is wrong and will stay wrong: nothing was done.
    Rejected(String),
    /// There is no connection: nothing was sent.
    NotConnected(String),
    /// The request was handled, but its answer cannot be sent or read.
    Unanswered(String),
}

impl AskError {
    /// A short constant text for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::NotHere(_) => "not_here",
            Self::Overloaded(_) => "overloaded",
            Self::Stopped(_) => "stopped",
            Self::Unreachable(_) => "unreachable",
            Self::NoReply => "no_reply",
            Self::TooLarge { .. } => "too_large",
            Self::Rejected(_) => "rejected",
            Self::NotConnected(_) => "not_connected",
            Self::Unanswered(_) => "unanswered",
        }
    }

    /// The same error, its text, if it has one, put through `change`.
    fn with_text(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::NotHere(what) => Self::NotHere(change(what)),
            Self::Overloaded(what) => Self::Overloaded(change(what)),
            Self::Stopped(what) => Self::Stopped(change(what)),
            Self::Unreachable(why) => Self::Unreachable(change(why)),
            Self::TooLarge { actual, limit, setting } => {
                Self::TooLarge { actual, limit, setting: change(setting) }
            }
            Self::Rejected(why) => Self::Rejected(change(why)),
            Self::NotConnected(why) => Self::NotConnected(change(why)),
            Self::Unanswered(why) => Self::Unanswered(change(why)),
            error @ (Self::Timeout | Self::NoReply) => error,
        }
    }

    /// An error of each kind, for tests.
    #[cfg(test)]
    pub(super) fn each(text: &str) -> Vec<Self> {
        let text = || text.to_owned();
        let all = vec![
            Self::Timeout,
            Self::NotHere(text()),
            Self::Overloaded(text()),
            Self::Stopped(text()),
            Self::Unreachable(text()),
            Self::NoReply,
            Self::TooLarge { actual: 1000, limit: 100, setting: text() },
            Self::Rejected(text()),
            Self::NotConnected(text()),
            Self::Unanswered(text()),
        ];
        let reasons: std::collections::BTreeSet<_> = all.iter().map(Self::reason).collect();
        assert_eq!(reasons.len(), all.len(), "one of each kind");
        all
    }

    /// The bytes of the error, with its text cut to a length that every node reads.
    pub(super) fn encode(self) -> Bytes {
        let error = self.with_text(|text| cut(&text, WHY_BYTES_MAX).to_owned());
        let bytes = CodecId::Bincode.encode(&error);
        bytes.expect("an ask error has nothing that cannot be encoded").into()
    }

    /// Reads an error of another node, and makes its text fit to be shown. `None` when the bytes
    /// are no error.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let error: Self = CodecId::Bincode.decode_within(payload, ERROR_BYTES_MAX).ok()?;
        Some(error.with_text(|text| foreign(&text).to_string()))
    }
}

impl From<SendError> for AskError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Full(what) => Self::Overloaded(what),
            SendError::Unreachable(why) => Self::NotConnected(why),
            SendError::TooLarge { actual, limit, setting } => {
                Self::TooLarge { actual, limit, setting }
            }
        }
    }
}

impl From<AskError> for Error {
    /// The kind says what is known of the request: `Timeout` when it may have taken effect.
    fn from(error: AskError) -> Self {
        let kind = match &error {
            AskError::NotHere(_)
            | AskError::Overloaded(_)
            | AskError::Stopped(_)
            | AskError::NotConnected(_) => ErrorKind::Unavailable,
            AskError::TooLarge { .. } | AskError::Rejected(_) => ErrorKind::Rejected,
            AskError::Timeout
            | AskError::Unreachable(_)
            | AskError::NoReply
            | AskError::Unanswered(_) => ErrorKind::Timeout,
        };
        Self::new(kind, error.to_string())
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::NotHere(what) => write!(f, "not here: {what}"),
            Self::Overloaded(what) => write!(f, "overloaded: {what}"),
            Self::Stopped(what) => write!(f, "stopped: {what}"),
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::NoReply => f.write_str("the request was received and not answered"),
            Self::TooLarge { actual, limit, setting } => {
                write!(
                    f,
                    "too large: expected at most {limit} bytes (`{setting}`), actual {actual}"
                )
            }
            Self::Rejected(why) => write!(f, "rejected: {why}"),
            Self::NotConnected(why) => write!(f, "not connected: {why}"),
            Self::Unanswered(why) => write!(f, "handled without an answer: {why}"),
        }
    }
}

impl std::error::Error for AskError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn caller_that_converts_with_a_question_mark_learns_whether_the_request_may_have_had_effect() {
        let ask = |error: AskError| -> crate::Result<()> { Err(error)? };
        let unknown: Vec<String> = AskError::each("x")
            .into_iter()
            .filter(|error| ask(error.clone()).unwrap_err().kind() == ErrorKind::Timeout)
            .map(|error| error.reason().to_owned())
            .collect();
        assert_eq!(unknown, ["timeout", "unreachable", "no_reply", "unanswered"]);
        let error = ask(AskError::Rejected("no such type".into())).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::Rejected, "rejected: no such type".into())
        );
        let send = |error: SendError| -> crate::Result<()> { Err(error)? };
        let full = send(SendError::Full("`queue_bytes_max` 7".into())).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn every_error_is_read_back() {
        for error in AskError::each("x") {
            assert_eq!(AskError::decode(&error.clone().encode()), Some(error));
        }
    }

    /// A length takes nine bytes. When memory was taken before the length was checked, 2^46 aborted
    /// the process, and 2^63 panicked.
    #[test]
    fn a_text_that_claims_to_be_longer_than_what_was_sent_is_no_error_and_takes_no_memory() {
        for length in [5000, 1u64 << 46, 1 << 63, u64::MAX] {
            let mut bytes = vec![1, 253];
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(b"short");
            assert_eq!(AskError::decode(&bytes), None, "{length}");
        }
        assert_eq!(AskError::decode(&vec![0; ERROR_BYTES_MAX + 1]), None);
    }

    #[test]
    fn a_text_is_cut_when_it_is_sent_and_escaped_when_it_is_read() {
        let long = AskError::Rejected("x".repeat(100_000)).encode();
        assert!(long.len() < ERROR_BYTES_MAX);
        assert!(AskError::decode(&long).is_some());

        let bytes = AskError::NotHere("a\n\u{1b}[2J".to_owned()).encode();
        assert_eq!(AskError::decode(&bytes), Some(AskError::NotHere(r"a\u{a}\u{1b}[2J".into())));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_none(
            index in 0..8usize,
            cut in 0..16usize,
            (at, byte) in (0..16usize, any::<u8>()),
            noise in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = AskError::decode(&noise);
            let mut bytes = AskError::each("x")[index].clone().encode().to_vec();
            bytes.truncate(bytes.len().saturating_sub(cut));
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
            let _ = AskError::decode(&bytes);
        }
    }
}
