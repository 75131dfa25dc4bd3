//! The task that opens or joins the session of the place, reads the witnesses, and is a witness for
//! the other places. The rules are in `session`.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::time::Clock;
use antiphon_persistence::store::{CasOutcome, Coordination, RowVersion, Stores};
use tokio::sync::{mpsc, watch};

use super::session::{OWN, SESSIONS, Witness};
use super::witness::{Witnesses, read_witness};
use super::{Continuity, DoubtKind, SessionRow};
use crate::membership::MemberState;
use crate::metrics::IntGaugeVec;
use crate::node::NodeSettings;
use crate::node::places::{self, encode, limited};
use crate::{NodeId, Result};

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
    let mut witnesses = Witnesses::new(&parts.settings.place, parts.settings.store_timeout);
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
        if !is_suspected && turns < SETTLED_TURNS && parts.is_settled(&witnesses) {
            continue;
        }
        turns = 0;
        match parts.look(is_suspected).await {
            Ok(is_done) => is_suspected &= !is_done,
            Err(error) => tracing::debug!(%error, "the session of the place cannot be read"),
        }
        for (place, stores) in &parts.peers {
            let witnessed = witnesses.witness(place, &*stores.coordination, parts.store()).await;
            parts.reached(place, witnessed.err().map(|error| error.to_string()));
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
            let (place_here, limit) = (&self.settings.place, self.settings.store_timeout);
            match read_witness(&*stores.coordination, place_here, limit).await {
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
    fn is_settled(&self, witnesses: &Witnesses) -> bool {
        let state = self.state.borrow();
        let is_read = state.row.as_ref().is_some_and(|row| {
            row.accepted.is_empty() && row.doubts.values().all(|doubt| !doubt.unread)
        });
        is_read
            && state.unreachable.is_empty()
            && self.peers.keys().all(|place| witnesses.has_seen(place))
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
