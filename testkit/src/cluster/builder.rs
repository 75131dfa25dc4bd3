//! The settings of a test cluster, and its start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result};
use antiphon_persistence::entity::EventSourced;
use antiphon_runtime::NodeSettings;
use antiphon_sharding::{ReplicatedEntityProvider, ShardingSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::TestCluster;
use super::inner::Inner;
use super::plan::{Plan, Planned};
use crate::harness::cluster::Cluster;
use crate::harness::form::Form;
use crate::harness::place::MEMORY;
use crate::kinds::{Kind, Kinds, Provided, placed};
use crate::repeat;

/// Most nodes of a test cluster.
const NODES_MAX: usize = 32;

/// Makes the kind of a provider when the places are known.
type Later = Box<dyn FnOnce(&[String]) -> Result<Arc<dyn Kind>>>;

/// The places, nodes and entity types of a test cluster: see [`TestCluster::builder`].
#[must_use]
pub struct TestClusterBuilder {
    places: Vec<(String, usize)>,
    kinds: Vec<Later>,
    seed: u64,
    encodes_commands: bool,
}

impl TestClusterBuilder {
    pub(crate) fn new() -> Self {
        Self { places: Vec::new(), kinds: Vec::new(), seed: 0, encodes_commands: true }
    }

    /// Adds a place with so many nodes. The nodes of the place `eu` are `eu-0`, `eu-1` and so on.
    /// At most 32 nodes are in a cluster.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # let builder = TestCluster::builder().entity(Counter::provider());
    /// builder.place("eu", 2).place("us", 1).run(async |cluster| {
    ///     assert_eq!(cluster.nodes(), ["eu-0", "eu-1", "us-0"]);
    ///     Ok(())
    /// });
    /// ```
    pub fn place(mut self, name: impl Into<String>, node_count: usize) -> Self {
        self.places.push((name.into(), node_count));
        self
    }

    /// Adds an entity type. A provider without replicas gets one at each place; a provider with
    /// settings keeps them.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// use antiphon_sharding::ShardingSettings;
    ///
    /// let passivate_after = std::time::Duration::from_secs(5);
    /// let settings = ShardingSettings { passivate_after, ..ShardingSettings::default() };
    /// let counters = Counter::provider().with_settings(settings);
    /// TestCluster::builder().place("eu", 1).entity(counters).run(async |cluster| {
    ///     assert!(cluster.sharding::<Counter>("eu-0")?.is_ready());
    ///     Ok(())
    /// });
    /// ```
    pub fn entity<E: EventSourced>(mut self, provider: ReplicatedEntityProvider<E>) -> Self
    where
        E::Command: Serialize + DeserializeOwned,
    {
        let encodes = self.encodes_commands;
        self.kinds.push(Box::new(move |places| {
            let provider = placed(provider, places)?.with_encoded_commands(encodes);
            Ok(Arc::new(Provided(provider)))
        }));
        self
    }

    /// Sets the seed from which delays and losses of links follow. The default is 0. The variable
    /// `ANTIPHON_SEED` replaces it.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # let builder = TestCluster::builder().place("eu", 1).entity(Counter::provider());
    /// builder.seed(7).run(async |cluster| {
    ///     assert_eq!(cluster.seed(), 7);
    ///     Ok(())
    /// });
    /// ```
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets whether the commands of the types that are added after this call go through their codec
    /// also within a node, as they do between nodes. The default is true.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// let builder = TestCluster::builder().place("eu", 1).encoded_commands(false);
    /// builder.entity(Counter::provider()).run(async |_cluster| Ok(()));
    /// ```
    pub fn encoded_commands(mut self, on: bool) -> Self {
        self.encodes_commands = on;
        self
    }

    /// Starts the nodes, and waits until each reaches each entity.
    ///
    /// The runtime must be a current-thread runtime; with paused time
    /// (`#[tokio::test(start_paused = true)]`) waiting costs no time, and a run with the same seed
    /// is the same run. [`Self::run`] makes such a runtime.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// use antiphon_testkit::TestCluster;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
    /// #     .unwrap().block_on(async {
    /// // in a function with `#[tokio::test(start_paused = true)]`
    /// let builder = TestCluster::builder().place("eu", 1).entity(Counter::provider());
    /// let cluster = builder.start().await?;
    /// assert_eq!(cluster.nodes(), ["eu-0"]);
    /// # Ok::<(), antiphon_base::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Rejected`, naming the place, the type or the runtime and what was expected; `Timeout` when
    /// the cluster is not ready after two minutes of the clock.
    pub async fn start(self) -> Result<TestCluster> {
        if Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
            return Err(Error::rejected(
                "the runtime of a `TestCluster`: expected a current-thread runtime, actual one with several threads: use `#[tokio::test(start_paused = true)]`, or `run`",
            ));
        }
        let places = self.checked_places()?;
        let seed = repeat::seed().unwrap_or(self.seed);
        let mut kinds = Kinds::default();
        for kind in self.kinds {
            let kind = kind(&places)?;
            check_kind(&kinds, &*kind)?;
            kinds.add(kind);
        }
        if kinds.all().is_empty() {
            return Err(Error::rejected("a `TestCluster` without entities: add one with `entity`"));
        }
        let counts: Vec<usize> = self.places.iter().map(|(_, count)| *count).collect();
        let form = Form::each_place(&places);
        let (now, settings) = (SystemClock.now(), ShardingSettings::default());
        let mut cluster = Cluster::new(seed, now, form, &counts, MEMORY, settings, kinds);
        let mut number_in_place = vec![0; places.len()];
        for member in &mut cluster.members {
            member.name = format!("{}-{}", places[member.place], number_in_place[member.place]);
            number_in_place[member.place] += 1;
        }
        let plans: Vec<Arc<Plan>> = places.iter().map(|_| Arc::default()).collect();
        for ((_, stores), plan) in cluster.places.iter_mut().zip(&plans) {
            *stores = Box::new(Planned::new(plan.clone()));
        }
        for index in 0..cluster.members.len() {
            cluster.begin_start(index);
        }
        let cluster = TestCluster::of(seed, Inner::new(cluster, plans));
        cluster.until_ready(Duration::from_secs(120)).await?;
        Ok(cluster)
    }

    /// Runs a test with the cluster, in a runtime of its own with paused time.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// use std::time::Duration;
    ///
    /// let builder = TestCluster::builder().place("eu", 1).entity(Counter::provider());
    /// builder.run(async |cluster| {
    ///     cluster.advance(Duration::from_secs(60)).await;
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Panics
    /// Panics when the cluster does not start or the test returns an error, with the error; a panic
    /// of the test goes on. In each case the seed is printed, with the command that repeats the
    /// test.
    #[track_caller]
    pub fn run(self, test: impl AsyncFnOnce(&TestCluster) -> Result<()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let ended = tokio::task::LocalSet::new().block_on(&runtime, async {
            let cluster = self.start().await?;
            let ended = test(&cluster).await;
            if ended.is_err() {
                eprintln!("{}", repeat::of_cluster(cluster.seed()));
            }
            ended
        });
        if let Err(error) = ended {
            panic!("the test of a cluster failed: {error}");
        }
    }

    fn checked_places(&self) -> Result<Vec<String>> {
        let mut names = BTreeSet::new();
        for (name, count) in &self.places {
            if !names.insert(name) {
                return Err(Error::rejected(format!(
                    "place `{name}`: expected each place once, actual twice"
                )));
            }
            if *count == 0 {
                return Err(Error::rejected(format!(
                    "place `{name}`: expected at least one node, actual 0"
                )));
            }
            let (name, place) = (format!("{name}-0"), name.clone());
            NodeSettings { name, place, ..NodeSettings::default() }.validate()?;
        }
        let count: usize = self.places.iter().map(|(_, count)| count).sum();
        if !(1..=NODES_MAX).contains(&count) {
            return Err(Error::rejected(format!(
                "nodes of a `TestCluster`: expected 1 to {NODES_MAX}, actual {count}: add places with `place`"
            )));
        }
        Ok(self.places.iter().map(|(name, _)| name.clone()).collect())
    }
}

/// Checks that a type differs from those before it.
fn check_kind(kinds: &Kinds, kind: &dyn Kind) -> Result<()> {
    for other in kinds.all() {
        if other.entity_type() == kind.entity_type() {
            return Err(Error::rejected(format!(
                "entity type `{}`: expected each name once, actual twice",
                kind.entity_type()
            )));
        }
        if other.behaviour().0 == kind.behaviour().0 {
            return Err(Error::rejected(format!(
                "behaviour `{}`: expected each behaviour once, actual for `{}` and `{}`",
                kind.behaviour().1,
                other.entity_type(),
                kind.entity_type()
            )));
        }
    }
    Ok(())
}
