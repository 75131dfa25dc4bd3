//! The decision of an operator to go on without the word of another place.

use antiphon_persistence::store::{CasOutcome, Coordination};

use super::session::{Doubt, OWN, SESSIONS, SessionRow};
use crate::node::places::encode;
use crate::{Error, Result};

/// Lets a place go on without the word of `peer`: own events that only `peer` has are given up.
/// `now_micros` is stored as the time of the decision. Returns the doubt that was there.
///
/// Cancellation: the decision may be stored, or not; a second call says which.
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
/// Cancellation: nothing was changed.
///
/// # Errors
/// `Unavailable`; `Corrupt` when the row cannot be read.
pub async fn session(store: &dyn Coordination) -> Result<Option<SessionRow>> {
    store.read(SESSIONS, OWN).await?.map(|row| SessionRow::decode(&row)).transpose()
}
