//! The task that opens or joins the session of the place, reads the witnesses, and is a witness for
//! the other places.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::time::Clock;
use antiphon_persistence::store::{CasOutcome, Coordination, RowVersion, Stores};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use super::session::{OWN, SESSIONS, Witness, seen_key};
use super::{Continuity, DoubtKind, SessionRow};
use crate::membership::MemberState;
use crate::metrics::IntGaugeVec;
use crate::node::NodeSettings;
use crate::node::places::{self, encode, limited};
use crate::{Error, NodeId, Result};

/// The parts of the task.
pub(in crate::node) struct FollowParts {
    pub(in crate::node) id: NodeId,
    pub(in crate::node) settings: NodeSettings,
    pub(in crate::node) clock: Arc<dyn Clock>,
    pub(in crate::node) own: Stores,
    pub(in crate::node) peers: BTreeMap<Arc<str>, Stores>,
    pub(in crate::node) state: watch::Sender<Arc<Continuity>>,
    pub(in crate::node) suspicions: mpsc::Receiver<()>,
    pub(in crate::node) doubts: IntGaugeVec,
}

type Versioned = Option<(RowVersion, SessionRow)>;

/// Turns from one reading of the sessions to the next, while nothing is expected to change.
const SETTLED_TURNS: u32 = 5;

/// Follows the sessions of all places until the node ends.
pub(in crate::node) async fn follow(mut parts: FollowParts) {
    let mut seen: BTreeMap<Arc<str>, Witness> = BTreeMap::new();
    while let Err(error) = parts.open_or_join().await {
        tracing::debug!(%error, "the session of the place is not known yet");
        tokio::time::sleep(parts.settings.scan_interval).await;
    }
    let mut is_suspected = false;
    let mut turns = 0;
    loop {
        is_suspected |= tokio::select! {
            suspicion = parts.suspicions.recv() => match suspicion {
                Some(()) => true,
                // the node is gone
                None => return,
            },
            () = tokio::time::sleep(parts.settings.peer_scan_interval) => false,
        };
        turns += 1;
        if !is_suspected && turns < SETTLED_TURNS && parts.is_settled(&seen) {
            continue;
        }
        turns = 0;
        match parts.look(is_suspected).await {
            Ok(is_done) => is_suspected &= !is_done,
            Err(error) => tracing::debug!(%error, "the session of the place cannot be read"),
        }
        for place in parts.peers.keys().cloned().collect::<Vec<_>>() {
            let witnessed = parts.witness(&place, &mut seen).await;
            parts.reached(&place, witnessed.err().map(|error| error.to_string()));
        }
    }
}

impl FollowParts {
    fn store(&self) -> &dyn Coordination {
        &*self.own.coordination
    }

    async fn read(&self) -> Result<Versioned> {
        let read = self.store().read(SESSIONS, OWN);
        let row = limited(self.settings.store_timeout, "reading the session", read).await?;
        row.map(|row| Ok((row.version, SessionRow::decode(&row)?))).transpose()
    }

    /// Writes the row. Returns `false` when another node was faster.
    async fn write(&self, expected: Option<RowVersion>, row: &SessionRow) -> Result<bool> {
        let write = self.store().compare_and_set(SESSIONS, OWN, expected, Some(encode(row)));
        let written = limited(self.settings.store_timeout, "writing the session", write).await?;
        Ok(matches!(written, CasOutcome::Applied(_)))
    }

    fn peer_names(&self) -> impl Iterator<Item = String> {
        self.peers.keys().map(ToString::to_string).collect::<Vec<_>>().into_iter()
    }

    async fn open_or_join(&mut self) -> Result<()> {
        loop {
            let found = self.read().await?;
            let joined = match &found {
                Some((_, row)) if row.members.contains(&self.id) => Some(row.clone()),
                Some((version, row)) if !row.closed && self.is_vouched(row).await? => {
                    let mut row = row.clone();
                    row.join(&self.id);
                    self.write(Some(*version), &row).await?.then_some(row)
                }
                Some(_) | None => self.open(&found).await?,
            };
            if let Some(row) = joined {
                self.show(row);
                break;
            }
        }
        self.look(false).await.map(drop)
    }

    async fn open(&self, found: &Versioned) -> Result<Option<SessionRow>> {
        let before = found.as_ref().map(|(_, row)| row);
        let now = self.clock.wall().as_micros();
        let row = SessionRow::open(before, &self.id, now, self.peer_names());
        let version = found.as_ref().map(|(version, _)| *version);
        Ok(self.write(version, &row).await?.then_some(row))
    }

    /// True when a member of the session lives: it renews its row in this store.
    async fn is_vouched(&self, row: &SessionRow) -> Result<bool> {
        let before = self.renewals(row).await?;
        if before.is_empty() {
            return Ok(false);
        }
        let watched = (self.settings.renew_interval * 3).min(self.settings.renew_timeout);
        let until = self.clock.now() + watched;
        loop {
            tokio::time::sleep(self.settings.tick_interval.max(watched / 10)).await;
            let now = self.renewals(row).await?;
            if now.iter().any(|(id, renewals)| before.get(id).is_some_and(|old| renewals > old)) {
                return Ok(true);
            }
            if self.clock.now() >= until {
                return Ok(false);
            }
        }
    }

    async fn renewals(&self, row: &SessionRow) -> Result<BTreeMap<NodeId, u64>> {
        let view = places::read(self.store());
        let view = limited(self.settings.store_timeout, "reading the members", view).await?;
        let lives = view
            .members
            .into_iter()
            .filter(|(_, member)| member.state != MemberState::Dead && member.id != self.id);
        Ok(lives
            .filter(|(_, member)| row.members.contains(&member.id))
            .map(|(_, member)| (member.id, member.renewals))
            .collect())
    }

    fn show(&self, row: SessionRow) {
        for place in self.peers.keys() {
            let kind = row.doubts.get(&**place).map(|doubt| doubt.kind);
            // every session begins with this doubt, so it is no news
            let value = match kind {
                None => 0,
                Some(None | Some(DoubtKind::Unclean)) => 1,
                Some(Some(DoubtKind::WentBack)) => 2,
            };
            self.doubts.with_label_values(&[&**place]).set(value);
        }
        self.state.send_modify(|state| {
            let mut next = Continuity::clone(state);
            next.row = Some(row);
            *state = Arc::new(next);
        });
    }

    /// Reads the own session, and the witnesses whose word is missing. Returns `false` when the
    /// store did not take the changes.
    async fn look(&self, suspicion: bool) -> Result<bool> {
        let Some((version, mut row)) = self.read().await? else { return Ok(false) };
        let mut changed = false;
        if suspicion {
            tracing::error!(
                "an entity found own events at another place that the journal has not: the journal of this place went back"
            );
            row.suspect(self.peer_names());
            changed = true;
        }
        for (place, stores) in &self.peers {
            let is_unread = row.doubts.get(&**place).is_some_and(|doubt| doubt.unread);
            let is_accepted = row.accepted.contains_key(&**place);
            if !is_unread && !is_accepted {
                continue;
            }
            match self.witness_of(stores, &self.settings.place).await {
                Ok(witness) => {
                    changed |= row.returned(place);
                    if row.judge(place, witness.as_ref()) && is_unread {
                        changed = true;
                        tell(place, &row, witness.as_ref());
                    }
                }
                Err(error) => tracing::debug!(%place, %error, "the witness cannot be read"),
            }
        }
        let is_done = !changed || self.write(Some(version), &row).await?;
        if is_done {
            self.show(row);
        }
        Ok(is_done)
    }

    /// True while no change of a session is expected: the session of each place was seen, each
    /// witness was read, and no decision of an operator waits for a place that is away.
    fn is_settled(&self, seen: &BTreeMap<Arc<str>, Witness>) -> bool {
        let state = self.state.borrow();
        let is_read = state.row.as_ref().is_some_and(|row| {
            row.accepted.is_empty() && row.doubts.values().all(|doubt| !doubt.unread)
        });
        is_read
            && state.unreachable.is_empty()
            && self.peers.keys().all(|place| seen.contains_key(place))
    }

    fn reached(&self, place: &Arc<str>, why_not: Option<String>) {
        if self.state.borrow().unreachable.get(place) == why_not.as_ref() {
            return;
        }
        self.state.send_modify(|state| {
            let mut next = Continuity::clone(state);
            match why_not {
                Some(why) => drop(next.unreachable.insert(place.clone(), why)),
                None => drop(next.unreachable.remove(place)),
            }
            *state = Arc::new(next);
        });
    }

    /// The witness of `place` in the store of another place.
    async fn witness_of(&self, stores: &Stores, place: &str) -> Result<Option<Witness>> {
        let key = seen_key(place);
        let read = stores.coordination.read(SESSIONS, &key);
        let row = limited(self.settings.store_timeout, "reading a witness", read).await?;
        row.map(|row| decode(&key, &row.value)).transpose()
    }

    /// Writes down the session of another place, when it is newer than the one seen before.
    async fn witness(
        &self,
        place: &Arc<str>,
        seen: &mut BTreeMap<Arc<str>, Witness>,
    ) -> Result<()> {
        let limit = self.settings.store_timeout;
        let theirs = self.peers[place].coordination.read(SESSIONS, OWN);
        let Some(theirs) = limited(limit, "reading a session", theirs).await? else {
            return Ok(());
        };
        let session = SessionRow::decode(&theirs)?;
        if session.witness(&self.settings.place, seen.get(place)).is_none() {
            return Ok(());
        }
        let key = seen_key(place);
        let known = limited(limit, "reading a witness", self.store().read(SESSIONS, &key)).await?;
        let version = known.as_ref().map(|row| row.version);
        let known = known.map(|row| decode::<Witness>(&key, &row.value)).transpose()?;
        let next = session.witness(&self.settings.place, known.as_ref());
        if let Some(next) = &next {
            let value = Some(encode(next));
            let write = self.store().compare_and_set(SESSIONS, &key, version, value);
            let written = limited(limit, "writing a witness", write).await?;
            if !matches!(written, CasOutcome::Applied(_)) {
                return Ok(());
            }
        }
        if let Some(now) = next.or(known) {
            seen.insert(place.clone(), now);
        }
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T> {
    serde_json::from_slice(value).map_err(|error| {
        Error::corrupt(format!("row `{key}` of table `{SESSIONS}` cannot be read: {error}"))
    })
}

fn tell(place: &Arc<str>, row: &SessionRow, witness: Option<&Witness>) {
    let kind = row.doubts.get(&**place).map(|doubt| doubt.kind);
    match kind {
        Some(Some(DoubtKind::WentBack)) => {
            let seen = witness.map(|witness| witness.opened_by.to_string()).unwrap_or_default();
            tracing::error!(%place, session = row.number, seen, "the journal of this place went back: the other place has seen a session that the journal does not know; own events are taken back from there before commands are taken");
        }
        Some(Some(DoubtKind::Unclean)) => {
            tracing::info!(%place, session = row.number, "the nodes of this place ended without a word, or have a new journal: entities ask the other place for own events before their first command");
        }
        Some(None) | None => {}
    }
}

/// Takes the node, whose writer is sealed, off the session; the last member closes it. An error
/// leaves the session open, which is safe.
pub(in crate::node) async fn leave(
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
