//! The errors of the tools of plain actors.

use std::fmt;
use std::time::Duration;

/// A tool could not do its work. Each text names the key or name, and the way out.
///
/// ```
/// use antiphon_cluster::ServiceKey;
///
/// let error = ServiceKey::<u64>::new("a|b").unwrap_err().to_string();
/// assert_eq!(
///     error,
///     "key `a|b`: expected 1 to 256 bytes without `|`, control characters and `antiphon.` at the \
///      begin: choose another one"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolError {
    /// The key or name has a forbidden form.
    Key {
        /// The key, fit to be shown.
        key: String,
    },
    /// The key is in use for actors of another message type.
    OtherType {
        /// The key.
        key: String,
        /// The message type of the call.
        expected: String,
        /// The message type in use.
        actual: String,
    },
    /// A setting limits a number, and the limit is reached.
    Full {
        /// The key or name.
        key: String,
        /// The setting.
        setting: &'static str,
        /// The value of the setting.
        max: usize,
    },
    /// No actor is there for the message.
    Nobody {
        /// The key or name.
        key: String,
    },
    /// The actor has ended, or the way to it has.
    Ended {
        /// The key or name.
        key: String,
    },
    /// No answer came within the time. The message may have had its effect.
    Timeout {
        /// The key or name.
        key: String,
        /// The time limit of the call.
        limit: Duration,
    },
    /// The name is in use on this node already.
    InUse {
        /// The name.
        key: String,
    },
    /// The node goes down.
    Leaving {
        /// The key or name.
        key: String,
    },
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { key } => write!(
                f,
                "key `{key}`: expected 1 to 256 bytes without `|`, control characters and \
                 `antiphon.` at the begin: choose another one"
            ),
            Self::OtherType { key, expected, actual } => write!(
                f,
                "key `{key}`: expected actors of {expected}, actual {actual}: use another key for \
                 each message type"
            ),
            Self::Full { key, setting, max } => write!(
                f,
                "`{key}`: `{setting}` of {max} is reached: raise it, or try again when there is \
                 room"
            ),
            Self::Nobody { key } => write!(
                f,
                "`{key}`: no actor is there: register one, or try again when one is registered"
            ),
            Self::Ended { key } => write!(
                f,
                "`{key}`: the actor has ended, or its node is out of reach: find another one, or \
                 try again"
            ),
            Self::Timeout { key, limit } => write!(
                f,
                "`{key}`: no answer within {limit:?}; the message may have had its effect: try \
                 again only if that does no harm"
            ),
            Self::InUse { key } => write!(
                f,
                "`{key}`: this node has a singleton of that name already: use the one there, or \
                 another name"
            ),
            Self::Leaving { key } => {
                write!(f, "`{key}`: this node goes down: use another node")
            }
        }
    }
}

impl std::error::Error for ToolError {}
