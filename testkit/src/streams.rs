//! The streams of the replicas of an entity, and how they differ.

use std::collections::BTreeMap;

use antiphon_base::Result;
use antiphon_persistence::entity::{EventSourced, Replayed};
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::store::{Snapshot, Stores};
use antiphon_sharding::ReplicatedEntityProvider;

/// The stream of one replica of an entity, with its newest snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) id: ReplicationId,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) events: Vec<StoredEvent>,
}

impl Stream {
    /// Reads a stream from its store.
    pub(crate) async fn read(stores: &Stores, id: ReplicationId) -> Result<Self> {
        let name = id.persistence_id();
        let first = SequenceNr::new(1);
        let events = stores.journal.replay(&name, first, SequenceNr::MAX, usize::MAX).await?;
        let snapshot = stores.snapshots.latest_snapshot(&name, SequenceNr::MAX).await?;
        Ok(Self { id, snapshot, events })
    }

    /// By origin, the number of events that the replica has.
    pub(crate) fn seen(&self) -> BTreeMap<ReplicaId, u64> {
        let mut seen = BTreeMap::new();
        let of_snapshot = self.snapshot.iter().flat_map(|snapshot| snapshot.version.iter());
        let of_events =
            self.events.iter().map(|event| (&event.meta.origin, event.meta.origin_nr()));
        for (origin, number) in of_snapshot.chain(of_events) {
            let most: &mut u64 = seen.entry(origin.clone()).or_default();
            *most = number.max(*most);
        }
        seen
    }

    /// By origin and number, the events that the journal still has.
    fn dots(&self) -> BTreeMap<(&ReplicaId, u64), &StoredEvent> {
        let dot = |event: &StoredEvent| event.meta.origin_nr();
        self.events.iter().map(|event| ((&event.meta.origin, dot(event)), event)).collect()
    }

    /// The first difference between what two replicas have: an event that only one has, or that is
    /// not the same at both.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let (here, there) = (self.id.replica_id(), other.id.replica_id());
        let entity = self.id.entity_id();
        let (seen, others) = (self.seen(), other.seen());
        for origin in seen.keys().chain(others.keys()) {
            let count = |seen: &BTreeMap<_, u64>| seen.get(origin).copied().unwrap_or(0);
            let (one, two) = (count(&seen), count(&others));
            if one != two {
                return Some(format!(
                    "`{entity}`: `{here}` has {one} events of `{origin}`, and `{there}` has {two}"
                ));
            }
        }
        self.fork(other)
    }

    /// An event that both replicas have, and that is not the same at both.
    pub(crate) fn fork(&self, other: &Self) -> Option<String> {
        let others = other.dots();
        let is_same = |one: &StoredEvent, other: &StoredEvent| {
            one.payload == other.payload && one.meta.labels == other.meta.labels
        };
        let ours = self.dots();
        let mut both = ours.iter().filter_map(|(dot, event)| Some((dot, event, others.get(dot)?)));
        let ((origin, number), ..) = both.find(|(_, one, other)| !is_same(one, other))?;
        Some(format!(
            "`{}`: event {number} of `{origin}` is not the same at `{}` and `{}`",
            self.id.entity_id(),
            self.id.replica_id(),
            other.id.replica_id()
        ))
    }

    /// The state that the stream gives, from its snapshot or from its events alone.
    pub(crate) fn replay<E: EventSourced>(
        &self,
        provider: &ReplicatedEntityProvider<E>,
        replicas: &[ReplicaId],
        begin: Begin,
    ) -> Result<Replayed<E>> {
        let snapshot = match begin {
            Begin::Snapshot => self.snapshot.clone(),
            Begin::FirstEvent => None,
        };
        let behaviour = provider.behaviour(&self.id)?;
        Replayed::from_stream(behaviour, &self.id, replicas, snapshot, self.events.clone())
    }

    /// Returns whether the journal has all events from the first one on.
    pub(crate) fn is_whole(&self) -> bool {
        let first = self.events.first().map(|event| event.sequence_nr);
        first.map_or(self.snapshot.is_none(), |first| first == SequenceNr::new(1))
    }
}

/// The begin of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The newest snapshot, if there is one.
    Snapshot,
    /// The first event of the stream.
    FirstEvent,
}
