//! Why an ask has no answer. It also travels over the wire, so its variants are only ever added at the end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::transport::SendError;

/// Why an ask has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskError {
    /// No answer in time: the request may have taken effect, or may still.
    Timeout,
    /// The asked node does not have what was asked for: nothing was done, ask elsewhere.
    NotHere(String),
    /// A queue on the way is full: nothing was done, slow down.
    Overloaded(String),
    /// The asked one is stopping: nothing was done, ask elsewhere or later.
    Stopped(String),
    /// The connection broke while the request was under way: it may have taken effect, or may still.
    Unreachable(String),
    /// The request was received, and its responder was dropped.
    NoReply,
    /// The request is over a limit: nothing was sent.
    TooLarge {
        /// Its size in bytes.
        actual: usize,
        /// The limit in bytes.
        limit: usize,
        /// The setting that sets it.
        setting: String,
    },
    /// The request is wrong and will stay so: nothing was done.
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
