//! The news that the journal loop brings: the events that other replicas have.

use std::collections::BTreeMap;

use crate::entity::PeerHas;
use crate::event::SequenceNr;
use crate::identity::ReplicaId;
use crate::version::VersionVector;

/// The news that were not answered yet, one of each replica.
#[derive(Debug, Default)]
pub(super) struct News {
    by_replica: BTreeMap<ReplicaId, PeerHas>,
}

impl News {
    /// Takes news, merged with the earlier ones of the same replica.
    pub(super) fn hear(&mut self, news: PeerHas) {
        match self.by_replica.get_mut(&news.replica) {
            Some(old) => {
                old.highest = old.highest.max(news.highest);
                old.seen.merge(&news.seen);
                old.read_to = old.read_to.max(news.read_to);
            }
            None => drop(self.by_replica.insert(news.replica.clone(), news)),
        }
    }

    /// Takes back an answer that was not told: everything that the replica had up to `highest` must
    /// be durable before the news are answered again.
    pub(super) fn untold(&mut self, replica: ReplicaId, highest: SequenceNr) {
        let seen = VersionVector::new();
        self.hear(PeerHas { replica, highest, seen, read_to: highest });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_replica.is_empty()
    }

    /// Returns whether there are news of the replica.
    pub(super) fn is_of(&self, replica: &ReplicaId) -> bool {
        self.by_replica.contains_key(replica)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PeerHas> {
        self.by_replica.values()
    }

    /// Keeps the news for which `is_open` holds.
    pub(super) fn retain(&mut self, mut is_open: impl FnMut(&PeerHas) -> bool) {
        self.by_replica.retain(|_, news| is_open(news));
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = PeerHas> {
        self.by_replica.into_values()
    }
}
