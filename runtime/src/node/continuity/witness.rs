//! The witnesses: each place writes down in its own store which session of another place it has
//! seen last. The rules are in `session`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::store::{CasOutcome, Coordination};

use super::session::{OWN, SESSIONS, SessionRow, Witness, seen_key};
use crate::node::places::{encode, limited};
use crate::{Error, Result};

/// The witness of `place` in the store of another place.
pub(super) async fn read_witness(
    store: &dyn Coordination,
    place: &str,
    limit: Duration,
) -> Result<Option<Witness>> {
    let key = seen_key(place);
    let row = limited(limit, "reading a witness", store.read(SESSIONS, &key)).await?;
    row.map(|row| decode(&key, &row.value)).transpose()
}

/// The sessions of the other places that the own place has seen last, as this node knows them.
#[derive(Debug)]
pub(super) struct Witnesses {
    own_place: String,
    limit: Duration,
    seen: BTreeMap<Arc<str>, Witness>,
}

impl Witnesses {
    /// Nothing was seen yet. Each call of a store may take `limit`.
    pub(super) fn new(own_place: &str, limit: Duration) -> Self {
        Self { own_place: own_place.to_owned(), limit, seen: BTreeMap::new() }
    }

    /// Returns whether a session of that place was seen.
    pub(super) fn has_seen(&self, place: &str) -> bool {
        self.seen.contains_key(place)
    }

    /// Writes down the session of another place, when it is newer than the one seen before.
    pub(super) async fn witness(
        &mut self,
        place: &Arc<str>,
        theirs: &dyn Coordination,
        own: &dyn Coordination,
    ) -> Result<()> {
        let limit = self.limit;
        let Some(row) = limited(limit, "reading a session", theirs.read(SESSIONS, OWN)).await?
        else {
            return Ok(());
        };
        let session = SessionRow::decode(&row)?;
        if session.witness(&self.own_place, self.seen.get(place)).is_none() {
            return Ok(());
        }
        let key = seen_key(place);
        let known = limited(limit, "reading a witness", own.read(SESSIONS, &key)).await?;
        let version = known.as_ref().map(|row| row.version);
        let known = known.map(|row| decode(&key, &row.value)).transpose()?;
        let next = session.witness(&self.own_place, known.as_ref());
        if let Some(next) = &next {
            let write = own.compare_and_set(SESSIONS, &key, version, Some(encode(next)));
            let written = limited(limit, "writing a witness", write).await?;
            if !matches!(written, CasOutcome::Applied(_)) {
                return Ok(());
            }
        }
        if let Some(now) = next.or(known) {
            self.seen.insert(place.clone(), now);
        }
        Ok(())
    }
}

pub(super) fn decode(key: &str, value: &[u8]) -> Result<Witness> {
    serde_json::from_slice(value).map_err(|error| {
        Error::corrupt(format!("row `{key}` of table `{SESSIONS}` cannot be read: {error}"))
    })
}
