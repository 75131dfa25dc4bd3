//! The end of a node's part in the session of its place.

use antiphon_persistence::store::{CasOutcome, Coordination};

use super::session::{OWN, SESSIONS, SessionRow};
use crate::membership::MemberState;
use crate::node::places::{self, encode, limited};
use crate::node::settings::NodeSettings;
use crate::{NodeId, Result};

/// Takes the node, whose writer is sealed, off the session; the last member closes it. An error
/// leaves the session open, which is safe.
pub(crate) async fn leave(
    id: &NodeId,
    settings: &NodeSettings,
    store: &dyn Coordination,
) -> Result<()> {
    loop {
        let read = store.read(SESSIONS, OWN);
        let row = limited(settings.store_timeout, "reading the session", read).await?;
        let Some(row) = row else { return Ok(()) };
        let mut session = SessionRow::decode(&row)?;
        if !session.members.contains(id) {
            return Ok(());
        }
        let view = limited(settings.store_timeout, "reading the members", places::read(store));
        let members = view.await?.members;
        session.leave(id, |member| {
            let row = members.iter().find(|(_, row)| row.id == *member);
            row.is_none_or(|(_, row)| row.state == MemberState::Dead && row.sealed)
        });
        let value = Some(encode(&session));
        let write = store.compare_and_set(SESSIONS, OWN, Some(row.version), value);
        let written = limited(settings.store_timeout, "closing the session", write).await?;
        if matches!(written, CasOutcome::Applied(_)) {
            return Ok(());
        }
    }
}
