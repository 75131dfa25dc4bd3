//! References to the entities of a test cluster, through any node.

use antiphon_base::{Error, Result};
use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::reply::ReplyTo;
use antiphon_sharding::{EntityRef, ReplicatedSharding, RoutingPolicy};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::TestCluster;
use crate::kinds;

/// Entities.
impl TestCluster {
    /// The sharding of a behaviour at a node, as `ReplicatedSharding::init` returned it there.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// assert!(cluster.sharding::<Counter>("eu-0")?.is_ready());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown node or behaviour, and for a node that does not run.
    pub fn sharding<E: EventSourced>(&self, node: &str) -> Result<ReplicatedSharding<E>> {
        let inner = self.inner.lock();
        inner.cluster.user.provider::<E>()?;
        let running = inner.running(node)?;
        kinds::sharding(&running.sharding)
            .ok_or_else(|| Error::bug(format!("node `{node}` has started a type and lacks it")))
    }

    /// The reference of a node to the replica of its place of an entity; to the first replica if
    /// the place has none.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// let counter = cluster.entity::<Counter>("eu-1", "c-1")?;
    /// assert_eq!(counter.ask(|reply_to| Command::Get { reply_to }).await?, 0);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown node or behaviour, for a node that does not run, and for an entity
    /// id that is not allowed.
    pub fn entity<E: EventSourced>(
        &self,
        node: &str,
        entity_id: &str,
    ) -> Result<EntityRef<E::Command>>
    where
        E::Command: Serialize + DeserializeOwned,
    {
        self.sharding::<E>(node)?.route(entity_id, &RoutingPolicy::Nearest)
    }

    /// The reference of a node to a certain replica of an entity. The name of a replica is that of
    /// its place, unless the provider says otherwise.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # let builder = TestCluster::builder().entity(Counter::provider());
    /// # builder.place("eu", 1).place("us", 1).run(async |cluster| {
    /// let far = cluster.entity_at::<Counter>("eu-0", "c-1", "us")?;
    /// assert_eq!(far.ask(|reply_to| Command::Add { delta: 1, reply_to }).await?, 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As for [`Self::entity`]; also `Rejected` for an unknown replica.
    pub fn entity_at<E: EventSourced>(
        &self,
        node: &str,
        entity_id: &str,
        replica: &str,
    ) -> Result<EntityRef<E::Command>>
    where
        E::Command: Serialize + DeserializeOwned,
    {
        self.sharding::<E>(node)?.entity_ref_for(entity_id, &ReplicaId::new(replica)?)
    }

    /// Asks the replica of a node's place through that node, and waits for the answer.
    ///
    /// A cancelled call gives up the answer; the command goes on, and may take effect.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// let add = |reply_to| Command::Add { delta: 4, reply_to };
    /// assert_eq!(cluster.ask::<Counter, _>("eu-0", "c-1", add).await?, 4);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// As for [`Self::entity`], and those of `EntityRef::ask`, each as the source of an `Error`.
    pub async fn ask<E, R>(
        &self,
        node: &str,
        entity_id: &str,
        command: impl FnOnce(ReplyTo<R>) -> E::Command,
    ) -> Result<R>
    where
        E: EventSourced,
        E::Command: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let entity = self.entity::<E>(node, entity_id)?;
        Ok(entity.ask(command).await?)
    }
}
