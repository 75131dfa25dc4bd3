//! The faults of the stores of a test cluster.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::{Error, Result};
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};

use super::TestCluster;
use super::inner::Inner;
use super::plan::{Fate, Plan};

/// Stores.
impl TestCluster {
    /// Refuses the next appends of a replica of an entity, whichever node makes them: its events
    /// are not stored, and its commands fail with `Unavailable`.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// cluster.fail_appends::<Counter>("c-1", "eu", 1)?;
    /// let add = |reply_to| Command::Add { delta: 1, reply_to };
    /// assert!(cluster.ask::<Counter, _>("eu-0", "c-1", add).await.is_err());
    /// cluster
    ///     .until("the next append is stored", async || {
    ///         cluster.ask::<Counter, _>("eu-0", "c-1", add).await.is_ok_and(|sum| sum == 1)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown behaviour or replica, and for an id that is not allowed.
    pub fn fail_appends<E: EventSourced>(
        &self,
        entity_id: &str,
        replica: &str,
        count: usize,
    ) -> Result<()> {
        self.order::<E>(entity_id, replica, Fate::Refused, count)
    }

    /// Loses the answers of the next appends of a replica of an entity: the events are stored, and
    /// the entity learns only that the outcome is unknown. Its commands fail with `Timeout`, and
    /// the entity reads its journal again.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// cluster.lose_append_answers::<Counter>("c-1", "eu", 1)?;
    /// let add = |reply_to| Command::Add { delta: 1, reply_to };
    /// assert!(cluster.ask::<Counter, _>("eu-0", "c-1", add).await.is_err());
    /// assert_eq!(cluster.events::<Counter>("c-1", "eu").await?.len(), 1, "it was stored");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As for [`Self::fail_appends`].
    pub fn lose_append_answers<E: EventSourced>(
        &self,
        entity_id: &str,
        replica: &str,
        count: usize,
    ) -> Result<()> {
        self.order::<E>(entity_id, replica, Fate::AnswerLost, count)
    }

    /// Loses the next appends of a replica of an entity: the events are not stored, and the entity
    /// learns only that the outcome is unknown.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// cluster.lose_appends::<Counter>("c-1", "eu", 1)?;
    /// let add = |reply_to| Command::Add { delta: 1, reply_to };
    /// assert!(cluster.ask::<Counter, _>("eu-0", "c-1", add).await.is_err());
    /// assert!(cluster.events::<Counter>("c-1", "eu").await?.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As for [`Self::fail_appends`].
    pub fn lose_appends<E: EventSourced>(
        &self,
        entity_id: &str,
        replica: &str,
        count: usize,
    ) -> Result<()> {
        self.order::<E>(entity_id, replica, Fate::Lost, count)
    }

    /// Makes each call for entities to the stores of a place slower by this time: journal, change
    /// feed, snapshots, positions and reminders, from every place. Zero ends it. The membership of
    /// nodes is not slower.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// cluster.slow_stores("eu", Duration::from_millis(300))?;
    /// let add = |reply_to| Command::Add { delta: 1, reply_to };
    /// assert_eq!(cluster.ask::<Counter, _>("eu-0", "c-1", add).await?, 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown place.
    pub fn slow_stores(&self, place: &str, by: Duration) -> Result<()> {
        self.plan(place)?.slow(by);
        Ok(())
    }

    /// Refuses each call for entities to the stores of a place, as [`Self::slow_stores`] lists
    /// them, until `false` ends it.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// cluster.refuse_stores("eu", true)?;
    /// let get = |reply_to| Command::Get { reply_to };
    /// assert!(cluster.ask::<Counter, _>("eu-0", "c-1", get).await.is_err());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown place.
    pub fn refuse_stores(&self, place: &str, refuses: bool) -> Result<()> {
        self.plan(place)?.refuse(refuses);
        Ok(())
    }

    /// Ends all faults of the stores of all places, also those of appends that have not come yet.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// cluster.refuse_stores("eu", true)?;
    /// cluster.mend_stores();
    /// # Ok(())
    /// # });
    /// ```
    pub fn mend_stores(&self) {
        self.inner.lock().plans.iter().for_each(|plan| plan.end());
    }

    fn plan(&self, place: &str) -> Result<Arc<Plan>> {
        let inner = self.inner.lock();
        let place = inner.place(place)?;
        Ok(inner.plans[place].clone())
    }

    fn order<E: EventSourced>(
        &self,
        entity_id: &str,
        replica: &str,
        fate: Fate,
        count: usize,
    ) -> Result<()> {
        let inner = self.inner.lock();
        let (place, id) = stream_of::<E>(&inner, entity_id, replica)?;
        inner.plans[place].next_appends(id.persistence_id(), fate, count);
        Ok(())
    }
}

/// The place of a replica of an entity, and the id of its stream.
pub(super) fn stream_of<E: EventSourced>(
    inner: &Inner,
    entity_id: &str,
    replica: &str,
) -> Result<(usize, ReplicationId)> {
    let provider = inner.cluster.user.provider::<E>()?;
    let replica = ReplicaId::new(replica)?;
    if !provider.replicas().contains(&replica) {
        return Err(Error::rejected(format!(
            "replica `{replica}` of `{}`: expected one of {:?}",
            provider.entity_type(),
            provider.replicas().iter().map(ReplicaId::as_str).collect::<Vec<_>>()
        )));
    }
    let place = inner.place(provider.replica_place(&replica).unwrap_or(replica.as_str()))?;
    Ok((place, ReplicationId::new(provider.entity_type(), entity_id, replica)?))
}
