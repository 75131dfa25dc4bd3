//! Finds out whether the journal of a place is the one that its nodes wrote last, or an older one:
//! a backup, a new disk.
//!
//! - `session`: the rows, and all rules about them;
//! - `follow`: the task that opens or joins the session of the place and keeps the rows.
//!
//! While one node of a place lives, it vouches for the journal: nobody can have replaced it. The
//! first node to start when no other lives opens a *session*, in a row of its own store. The nodes
//! of the other places see the session there, and write down in their own stores which session they
//! saw last: they are its *witnesses*. The last node to leave closes the session. A session begins
//! in *doubt* about every other place: its entities ask that place for own events before they
//! write, until their shard has followed its feed to the end once. A witness that has seen a newer
//! session than the journal knows is the proof that the journal went back
//! (`docs/design/0006-journal-that-went-back.md`).

mod follow;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) use follow::{FollowParts, follow, leave};
pub use session::{Accepted, Doubt, DoubtKind, Previous, SessionRow};

use antiphon_persistence::store::{CasOutcome, Coordination};

use self::session::{OWN, SESSIONS};
use super::places::encode;
use crate::{Error, Result};

/// The state of the place's journal as a node knows it.
#[derive(Debug, Clone, Default)]
pub struct Continuity {
    pub(super) row: Option<SessionRow>,
    pub(super) unreachable: BTreeMap<Arc<str>, String>,
}

impl Continuity {
    /// The number of the session; zero while it is not known.
    pub fn session(&self) -> u64 {
        self.row.as_ref().map_or(0, |row| row.number)
    }

    /// The doubt about the own events at another place; `None` when no event can be missing. While
    /// the session is not known, every place is in doubt, and no shard is sure.
    pub fn doubt(&self, place: &str) -> Option<Doubt> {
        match &self.row {
            Some(row) => row.doubts.get(place).copied(),
            None => Some(Doubt { since: u64::MAX, kind: None, back_since: 0, unread: true }),
        }
    }

    /// All doubts, by place.
    pub fn doubts(&self) -> BTreeMap<String, Doubt> {
        self.row.as_ref().map(|row| row.doubts.clone()).unwrap_or_default()
    }

    /// The losses that an operator accepted, by place.
    pub fn accepted(&self) -> BTreeMap<String, Accepted> {
        self.row.as_ref().map(|row| row.accepted.clone()).unwrap_or_default()
    }

    /// The reason why the store of another place could not be read at the last try.
    pub fn unreachable(&self, place: &str) -> Option<&str> {
        self.unreachable.get(place).map(String::as_str)
    }
}

/// Lets a place go on without the word of `peer`: own events that only `peer` has are given up.
/// `now_micros` is stored as the time of the decision. Returns the doubt that was there.
///
/// # Errors
/// `Rejected` when no session is open, or the place is in no doubt about that peer; `Unavailable`
/// when the store cannot be reached.
pub async fn accept_loss(store: &dyn Coordination, peer: &str, now_micros: u64) -> Result<Doubt> {
    loop {
        let row = store.read(SESSIONS, OWN).await?;
        let row = row.ok_or_else(|| {
            Error::rejected("the journal has no session: start a node of the place first")
        })?;
        let mut session = SessionRow::decode(&row)?;
        let Some(doubt) = session.accept(peer, now_micros) else {
            let places: Vec<&String> = session.doubts.keys().collect();
            return Err(Error::rejected(format!(
                "`--peer`: expected a place whose word is missing ({places:?}), actual {peer:?}"
            )));
        };
        let changed =
            store.compare_and_set(SESSIONS, OWN, Some(row.version), Some(encode(&session))).await?;
        if let CasOutcome::Applied(_) = changed {
            return Ok(doubt);
        }
    }
}

/// The session in the store of a place; `None` before the first node.
///
/// # Errors
/// `Unavailable`; `Corrupt` when the row cannot be read.
pub async fn session(store: &dyn Coordination) -> Result<Option<SessionRow>> {
    store.read(SESSIONS, OWN).await?.map(|row| SessionRow::decode(&row)).transpose()
}

#[cfg(test)]
mod tests;
