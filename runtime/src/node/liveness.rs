//! Whether a node may answer.

use std::sync::Arc;

/// Whether a node may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    /// It may.
    Live,
    /// It may not now, because it could not renew its row within `renew_timeout`. Nobody has declared it dead as far as it
    /// knows; when a renewal succeeds it is live again, and then nobody has taken over from it.
    Suspended,
    /// It may not, for ever: it was declared dead, its row is gone, it has left, or it was crashed. The reason.
    Fenced(Arc<str>),
}
