//! The other replicas of an entity, as far as they are known here.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::core::{Shared, merge_news};
use crate::entity::{EventSourced, PeerHas};
use crate::event::SequenceNr;
use crate::identity::ReplicaId;
use crate::version::VersionVector;

/// The state of one other replica, as far as it is known here.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) position: SequenceNr,
    /// True when the replica's journal is to be read because the entity has started.
    pub(super) at_start: bool,
    pub(super) reading: bool,
    /// Reads in a row whose first event waited for others.
    pub(super) causeless: u8,
    /// The highest number of the replica's stream at which the position was found to be of another
    /// history, and was begun anew.
    pub(super) anew_at: SequenceNr,
    pub(super) attempts: u32,
    pub(super) retry_at: Option<Instant>,
    /// The origin whose held event keeps the replica's journal from being read on.
    pub(super) held: Option<ReplicaId>,
    /// The highest number for which the host was told of `held`.
    pub(super) held_told: SequenceNr,
    /// The look behind a held event in the replica's journal, in doubt.
    pub(super) beyond: Option<Box<Beyond>>,
    /// The events that the replica is known to have: for deleting events, never for delivery.
    pub(super) has: VersionVector,
}

/// A look for own events behind an event that is held back.
///
/// If the own journal may have gone back, the journal of a doubted replica must be read to its
/// end before the first command. An event that cannot be applied here must not prevent that: the
/// stream is read to its end, and the doubt stays open only if there is a new own event that has to
/// wait for the held event.
#[derive(Debug, Default)]
pub(super) struct Beyond {
    pub(super) position: SequenceNr,
    /// The number of an own event that the journal has not, and that cannot be taken yet.
    pub(super) waiting_own: Option<u64>,
}

/// The other replicas.
pub(super) struct Peers {
    /// A boxed slice, since the replicas are few and do not change while the entity runs: a tree
    /// would keep room for eleven.
    pub(super) peers: Box<[(ReplicaId, Peer)]>,
    pub(super) news: BTreeMap<ReplicaId, PeerHas>,
    /// The time at which the shell will wake the engine for a repeated read.
    pub(super) wake_at: Option<Instant>,
    /// True when no event was missing at the last look and nothing was heard since.
    pub(super) is_calm: bool,
}

impl Peers {
    pub(super) fn new<E: EventSourced>(
        shared: &Shared<E>,
        positions: BTreeMap<ReplicaId, SequenceNr>,
    ) -> Self {
        let others = shared.replicas.iter().filter(|replica| *replica != shared.id.replica_id());
        // events that came before a restart and were not stored have to be read again
        let at_start = shared.settings.pull_at_start || shared.generation > 0;
        let peer = |replica: &ReplicaId| Peer {
            position: positions.get(replica).copied().unwrap_or_default(),
            at_start,
            ..Peer::default()
        };
        let peers = others.map(|replica| (replica.clone(), peer(replica))).collect();
        Self { peers, news: BTreeMap::new(), wake_at: None, is_calm: false }
    }

    pub(super) fn into_news(self) -> BTreeMap<ReplicaId, PeerHas> {
        self.news
    }

    pub(super) fn heard(&mut self, news: PeerHas) {
        self.is_calm = false;
        if let Some(peer) = self.get_mut(&news.replica) {
            peer.has.merge(&news.seen);
            peer.held_told = SequenceNr::ZERO;
            merge_news(&mut self.news, news);
        }
    }

    /// Ends all waits before repeated reads: the reads are done now.
    pub(super) fn retry_now(&mut self) {
        self.is_calm = false;
        for (_, peer) in &mut *self.peers {
            peer.retry_at = None;
        }
    }

    pub(super) fn positions(&self) -> BTreeMap<ReplicaId, SequenceNr> {
        self.peers.iter().map(|(replica, peer)| (replica.clone(), peer.position)).collect()
    }

    /// Returns whether every other replica is known to have all of `version`.
    pub(super) fn all_have(&self, version: &VersionVector) -> bool {
        self.peers.iter().all(|(_, peer)| version.is_included_in(&peer.has))
    }

    pub(super) fn is_reading(&self, replica: &ReplicaId) -> bool {
        self.get(replica).is_some_and(|peer| peer.reading)
    }

    pub(super) fn look_again(&mut self) {
        self.is_calm = false;
    }

    /// Returns whether another replica has told of events of this replica that are not in `seen`.
    pub(super) fn knows_more<E: EventSourced>(
        &self,
        shared: &Shared<E>,
        seen: &VersionVector,
    ) -> bool {
        let own = shared.id.replica_id();
        self.news.values().any(|news| news.seen.get(own) > seen.get(own))
    }

    pub(super) fn get(&self, replica: &ReplicaId) -> Option<&Peer> {
        self.peers.iter().find(|(name, _)| name == replica).map(|(_, peer)| peer)
    }

    pub(super) fn get_mut(&mut self, replica: &ReplicaId) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|(name, _)| name == replica).map(|(_, peer)| peer)
    }

    /// Begins to read the other replica's journal anew, once for each length that it has. Called
    /// when the entity has not seen every event up to the position: the journal went back, and has
    /// other events in these rows now.
    pub(super) fn begin_anew(&mut self, replica: &ReplicaId, highest: SequenceNr) {
        if let Some(peer) = self.get_mut(replica)
            && peer.anew_at < highest
            && !peer.reading
        {
            (peer.anew_at, peer.position) = (highest, SequenceNr::ZERO);
        }
    }

    pub(super) fn reached(&mut self, replica: &ReplicaId, position: SequenceNr) {
        if let Some(peer) = self.get_mut(replica) {
            peer.position = peer.position.max(position);
        }
    }
}
