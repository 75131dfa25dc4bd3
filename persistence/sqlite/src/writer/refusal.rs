//! The reasons why an append is refused. A refusal leaves nothing behind, and does not disturb the
//! other writes of its group.

use std::path::Path;

use antiphon_base::Error;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::store::WriterId;

use crate::record_error::damaged;

/// Reason why an append was not stored.
#[derive(Debug)]
pub(super) enum Refusal {
    Sealed(WriterId),
    NeverOpened(WriterId),
    OtherEnd { persistence_id: String, expected: SequenceNr, actual: i64 },
    Damaged(String),
}

impl Refusal {
    pub(super) fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Damaged(what) => damaged(path, "appending", &what),
            Self::Sealed(writer) => {
                Error::fenced(format!("writer `{writer}` is sealed: its node was declared dead"))
            }
            Self::NeverOpened(writer) => {
                Error::rejected(format!("writer `{writer}` was never opened"))
            }
            Self::OtherEnd { persistence_id, expected, actual } => Error::fenced(format!(
                "append to `{persistence_id}`: expected highest sequence number {expected}, actual {actual}: another \
                 writer was faster"
            )),
        }
    }
}
