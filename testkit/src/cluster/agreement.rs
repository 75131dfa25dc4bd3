//! The streams and states of a test cluster, and the wait until all replicas agree.

use std::fmt::Debug;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result};
use antiphon_persistence::entity::{EventSourced, Replayed};
use antiphon_persistence::identity::ReplicaId;
use antiphon_sharding::ReplicatedEntityProvider;

use super::stores::stream_of;
use super::{STEP, TestCluster, WAIT_MAX};
use crate::streams::{Begin, Stream};

/// The state that all replicas of an entity have.
///
/// ```
/// # use antiphon_testkit::examples::Counter;
/// # use antiphon_testkit::{Agreed, TestCluster};
/// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
/// let agreed: Agreed<Counter> = cluster.until_agreed::<Counter>("c-1").await?;
/// assert_eq!(*agreed.state(), 0);
/// # Ok(())
/// # });
/// ```
pub struct Agreed<E: EventSourced>(Replayed<E>);

impl<E: EventSourced> Agreed<E> {
    /// The state.
    pub fn state(&self) -> &E::State {
        self.0.state()
    }
}

/// Streams and states.
impl TestCluster {
    /// Waits until all replicas of an entity have the same events, for at most two minutes of the
    /// clock, and checks that these events give the same state at each of them. Commands that are
    /// under way are not waited for.
    ///
    /// The states are read from the journals, without faults: nodes need not run.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # let builder = TestCluster::builder().entity(Counter::provider());
    /// # builder.place("eu", 1).place("us", 1).run(async |cluster| {
    /// let add = |reply_to| Command::Add { delta: 1, reply_to };
    /// cluster.ask::<Counter, _>("eu-0", "c-1", add).await?;
    /// cluster.ask::<Counter, _>("us-0", "c-1", add).await?;
    /// assert_eq!(*cluster.until_agreed::<Counter>("c-1").await?.state(), 2);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Timeout`, naming the event that is missing and where; `Rejected`, with two states, when the
    /// replicas have the same events and different states: the events of the entity do not commute.
    pub async fn until_agreed<E: EventSourced>(&self, entity_id: &str) -> Result<Agreed<E>>
    where
        E::State: PartialEq + Debug,
    {
        let provider = self.provider::<E>()?;
        let until = SystemClock.now() + WAIT_MAX;
        loop {
            let streams = self.streams::<E>(&provider, entity_id).await?;
            let Some(difference) = streams.windows(2).find_map(|pair| pair[0].difference(&pair[1]))
            else {
                return agreed(&provider, &streams);
            };
            if SystemClock.now() > until {
                return Err(Error::timeout(format!(
                    "the replicas of {difference}: expected the same within {WAIT_MAX:?} of the clock"
                )));
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// The events in the stream of a replica of an entity, in their order there, from its journal.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter, Event};
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// let add = |reply_to| Command::Add { delta: 1, reply_to };
    /// cluster.ask::<Counter, _>("eu-0", "c-1", add).await?;
    /// assert_eq!(cluster.events::<Counter>("c-1", "eu").await?, [Event::Added { delta: 1 }]);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown behaviour or replica; the error of an event that the behaviour
    /// cannot read.
    pub async fn events<E: EventSourced>(
        &self,
        entity_id: &str,
        replica: &str,
    ) -> Result<Vec<E::Event>> {
        let provider = self.provider::<E>()?;
        let stream = self.stream::<E>(entity_id, replica).await?;
        let behaviour = provider.behaviour(&stream.id)?;
        let mut events = Vec::new();
        for event in &stream.events {
            events.extend(behaviour.from_journal(&event.payload)?);
        }
        Ok(events)
    }

    /// A replica of an entity as its journal gives it now, with its state.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// let add = |reply_to| Command::Add { delta: 1, reply_to };
    /// cluster.ask::<Counter, _>("eu-0", "c-1", add).await?;
    /// cluster.kill("eu-0")?;
    /// assert_eq!(*cluster.replayed::<Counter>("c-1", "eu").await?.state(), 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown behaviour or replica; `Corrupt` when the stream cannot be
    /// replayed.
    pub async fn replayed<E: EventSourced>(
        &self,
        entity_id: &str,
        replica: &str,
    ) -> Result<Replayed<E>> {
        let provider = self.provider::<E>()?;
        let stream = self.stream::<E>(entity_id, replica).await?;
        stream.replay(&provider, provider.replicas(), Begin::Snapshot)
    }

    fn provider<E: EventSourced>(&self) -> Result<ReplicatedEntityProvider<E>> {
        self.inner.lock().cluster.user.provider::<E>().cloned()
    }

    async fn stream<E: EventSourced>(&self, entity_id: &str, replica: &str) -> Result<Stream> {
        let (stores, id) = {
            let inner = self.inner.lock();
            let (place, id) = stream_of::<E>(&inner, entity_id, replica)?;
            (inner.cluster.stores(place), id)
        };
        Stream::read(&stores, id).await
    }

    async fn streams<E: EventSourced>(
        &self,
        provider: &ReplicatedEntityProvider<E>,
        entity_id: &str,
    ) -> Result<Vec<Stream>> {
        let mut streams = Vec::new();
        for replica in provider.replicas() {
            streams.push(self.stream::<E>(entity_id, replica.as_str()).await?);
        }
        Ok(streams)
    }
}

/// The common state of streams with the same events.
fn agreed<E: EventSourced>(
    provider: &ReplicatedEntityProvider<E>,
    streams: &[Stream],
) -> Result<Agreed<E>>
where
    E::State: PartialEq + Debug,
{
    let replay = |stream: &Stream| stream.replay(provider, provider.replicas(), Begin::Snapshot);
    let first = replay(&streams[0])?;
    for stream in &streams[1..] {
        let other = replay(stream)?;
        if first.state() != other.state() {
            let names: [&ReplicaId; 2] = [streams[0].id.replica_id(), stream.id.replica_id()];
            return Err(Error::rejected(format!(
                "`{}` of `{}`: the same events give {:?} at `{}` and {:?} at `{}`: expected one state, whatever the order of concurrent events",
                streams[0].id.entity_id(),
                provider.entity_type(),
                first.state(),
                names[0],
                other.state(),
                names[1]
            )));
        }
    }
    Ok(Agreed(first))
}
