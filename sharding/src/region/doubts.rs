//! Finds the entities that may miss own events which another place has, because the journal of this
//! place may have gone back.
//!
//! A place is in doubt about another place since a session
//! (`antiphon_runtime::node::Continuity`). A shard is sure of the other place when it has followed
//! that place's feed to its end since then: all events of this place that the other one had are
//! here now. Until then each entity asks the other place before its first command, and is sure
//! afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_runtime::node::{Doubt, DoubtKind};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use super::parts::RegionParts;
use crate::replication::FeedWitness;

/// Most entities whose state of asking is remembered. At this number all are forgotten, and ask
/// once more.
const SURE_MAX: usize = 100_000;

/// State of the asking of one entity in doubt.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// The session in which the entity began to ask.
    began_in: u64,
    /// All asked replicas have answered.
    is_sure: bool,
}

/// The entities that ask, or have asked, by shard and entity.
#[derive(Default)]
struct EntityBook(Mutex<BTreeMap<(usize, Arc<str>), Asked>>);

impl EntityBook {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(usize, Arc<str>), Asked>> {
        self.0.lock()
    }

    fn is_sure(&self, index: usize, entity: &Arc<str>, doubt: Doubt) -> bool {
        let asked = self.lock().get(&(index, entity.clone())).copied();
        asked.is_some_and(|asked| asked.is_sure && asked.began_in >= doubt.since)
    }

    fn asks(&self, index: usize, entity: &Arc<str>, session: u64) {
        let mut entities = self.lock();
        if entities.len() >= SURE_MAX {
            entities.clear();
        }
        let asked = Asked { began_in: session, is_sure: false };
        let known = entities.entry((index, entity.clone())).or_insert(asked);
        if known.is_sure {
            // a newer doubt
            *known = asked;
        }
    }

    fn reclaimed(&self, index: usize, entity: &Arc<str>) {
        let key = (index, entity.clone());
        let mut entities = self.lock();
        match entities.get_mut(&key) {
            // the session was not known at the beginning: the entity asks once more when it is
            // started again
            Some(asked) if asked.began_in == 0 => drop(entities.remove(&key)),
            Some(asked) => asked.is_sure = true,
            None => {}
        }
    }
}

/// The doubts of a region.
pub(super) struct Doubts {
    parts: Arc<RegionParts>,
    feeds: Mutex<BTreeMap<(usize, ReplicaId), Arc<FeedWitness>>>,
    entities: EntityBook,
    went_back: AtomicU64,
}

impl Doubts {
    pub(super) fn new(parts: Arc<RegionParts>) -> Self {
        Self {
            parts,
            feeds: Mutex::default(),
            entities: EntityBook::default(),
            went_back: AtomicU64::default(),
        }
    }

    /// Creates the witness of one journal loop of a shard.
    pub(super) fn witness(&self, index: usize, other: &ReplicaId) -> Arc<FeedWitness> {
        let place = self.parts.layout.place_of(other).clone();
        let feed = Arc::new(FeedWitness::new(self.parts.node.clone(), place));
        self.feeds.lock().insert((index, other.clone()), feed.clone());
        feed
    }

    fn index(&self, id: &ReplicationId) -> Option<usize> {
        self.parts.layout.index(id.replica_id(), id.entity_id())
    }

    /// The replicas that an entity has to ask. Takes no lock of a shard, since the caller holds one
    /// while it starts an entity.
    pub(super) fn of(&self, id: &ReplicationId) -> Vec<ReplicaId> {
        let continuity = self.parts.node.continuity().borrow().clone();
        let Some(index) = self.index(id) else { return Vec::new() };
        let mut doubted = Vec::new();
        for replica in self.parts.layout.others(id.replica_id()) {
            let place = self.parts.layout.place_of(replica);
            if **place == *self.parts.node.place() {
                continue;
            }
            if let Some(doubt) = continuity.doubt(place)
                && !self.is_shard_sure_of(index, id.entity_id(), replica, doubt)
                && !self.entities.is_sure(index, id.entity_id(), doubt)
            {
                doubted.push(replica.clone());
            }
        }
        if !doubted.is_empty() {
            self.entities.asks(index, id.entity_id(), continuity.session());
        }
        doubted
    }

    fn is_shard_sure_of(
        &self,
        index: usize,
        entity: &Arc<str>,
        other: &ReplicaId,
        doubt: Doubt,
    ) -> bool {
        let feeds = self.feeds.lock();
        let feed = feeds.get(&(index, other.clone()));
        feed.is_some_and(|feed| feed.is_sure(doubt) && !feed.is_held(entity))
    }

    /// Notes that the entity has asked all doubted replicas, and has the events that they had.
    pub(super) fn reclaimed(&self, id: &ReplicationId) {
        if let Some(index) = self.index(id) {
            self.entities.reclaimed(index, id.entity_id());
        }
    }

    /// Notes that another place has own events of the entity that the journal lacks.
    pub(super) fn went_back(&self, id: &ReplicationId) {
        let count = self.went_back.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::error!(%id, count, "another place has events of this entity that the journal has lost: they are taken back");
        }
        if self.of(id).is_empty() {
            self.parts.node.suspect_journal();
        }
    }

    /// Number of shards here that are not sure yet, for each other place. `is_hosting` tells
    /// whether the shard of a slot is here.
    fn unsure(&self, is_hosting: impl Fn(usize) -> bool) -> BTreeMap<Arc<str>, usize> {
        let continuity = self.parts.node.continuity().borrow().clone();
        let mut found = Vec::new();
        {
            let feeds = self.feeds.lock();
            for ((index, other), feed) in &*feeds {
                let place = self.parts.layout.place_of(other);
                if continuity.doubt(place).is_some_and(|doubt| !feed.is_sure(doubt)) {
                    found.push((*index, place.clone()));
                }
            }
        }
        // the lock of a shard is not taken under the lock of the feeds: the start of an entity
        // takes them in the other order
        found.retain(|(index, _)| is_hosting(*index));
        // a place may have several replicas
        found.sort();
        found.dedup();
        let mut unsure: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for (_, place) in found {
            *unsure.entry(place).or_default() += 1;
        }
        unsure
    }

    /// For `/cluster`.
    pub(super) fn json(&self, is_hosting: impl Fn(usize) -> bool) -> Value {
        json!({
            "shards_in_doubt": self.unsure(is_hosting),
            "entities_that_had_lost_events": self.went_back.load(Ordering::Relaxed),
        })
    }

    /// Returns an error while a shard waits for a place that cannot be asked, or for the end of a
    /// restore.
    pub(super) fn ready_to_write(&self, is_hosting: impl Fn(usize) -> bool) -> Result<(), String> {
        let continuity = self.parts.node.continuity().borrow().clone();
        for (place, count) in self.unsure(is_hosting) {
            let Some(doubt) = continuity.doubt(&place) else { continue };
            let entity_type = self.parts.layout.entity_type();
            if doubt.kind == Some(DoubtKind::WentBack) {
                return Err(format!(
                    "the journal went back: {count} shards of `{entity_type}` are asking place `{place}` for own events"
                ));
            }
            if let Some(why) = continuity.unreachable(&place) {
                return Err(format!(
                    "the journal may have gone back: {count} shards of `{entity_type}` have to ask place `{place}`, which cannot be read: {why}"
                ));
            }
        }
        Ok(())
    }
}
