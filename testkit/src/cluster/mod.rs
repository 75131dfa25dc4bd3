//! A cluster of places and nodes in one process, for the tests of an application. See
//! [`TestCluster`].

mod agreement;
mod asks;
mod builder;
mod clocks;
mod inner;
mod links;
mod nodes;
mod plan;
mod stores;

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result, task};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

pub use agreement::Agreed;
pub use builder::TestClusterBuilder;
use inner::Inner;

use crate::repeat;

/// Time between two looks at the nodes.
const STEP: Duration = Duration::from_millis(20);

/// Places and nodes in one process, with the production code of Antiphon over stores and links in
/// memory that fail as the test wants it.
///
/// ```
/// # use antiphon_testkit::examples::{Command, Counter};
/// use antiphon_testkit::TestCluster;
///
/// // in a function with `#[test]`
/// TestCluster::builder()
///     .place("eu", 2)
///     .place("us", 1)
///     .entity(Counter::provider())
///     .seed(7)
///     .run(async |cluster| {
///         let add = |delta| move |reply_to| Command::Add { delta, reply_to };
///         cluster.cut_places("eu", "us")?;
///         assert_eq!(cluster.ask::<Counter, _>("eu-0", "c-1", add(2)).await?, 2);
///         assert_eq!(cluster.ask::<Counter, _>("us-0", "c-1", add(3)).await?, 3);
///
///         cluster.heal();
///         let agreed = cluster.until_agreed::<Counter>("c-1").await?;
///         assert_eq!(*agreed.state(), 5);
///         Ok(())
///     });
/// ```
///
/// # Time
///
/// Time is virtual: it stands still while anybody works, and jumps ahead when everybody waits. So
/// a test that waits for ten seconds takes none, and a run is the same each time.
/// [`Self::advance`] lets time pass. A test must not wait for anything outside, such as a socket.
///
/// # Nodes that end by themselves
///
/// A node that was declared dead by the others, for example because it was frozen or cut off,
/// ends, and starts again as under a supervisor.
pub struct TestCluster {
    seed: u64,
    inner: Arc<Mutex<Inner>>,
    upkeep: JoinHandle<()>,
}

impl TestCluster {
    /// A cluster without places, nodes and entities: add them, and call
    /// [`run`](TestClusterBuilder::run) or [`start`](TestClusterBuilder::start).
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// use antiphon_testkit::TestCluster;
    ///
    /// let cluster = TestCluster::builder().place("eu", 2).entity(Counter::provider());
    /// cluster.run(async |cluster| {
    ///     assert_eq!(cluster.nodes(), ["eu-0", "eu-1"]);
    ///     Ok(())
    /// });
    /// ```
    pub fn builder() -> TestClusterBuilder {
        TestClusterBuilder::new()
    }

    fn of(seed: u64, inner: Inner) -> Self {
        let inner = Arc::new(Mutex::new(inner));
        let kept = inner.clone();
        let upkeep = task::spawn("test cluster", async move {
            loop {
                tokio::time::sleep(STEP).await;
                kept.lock().keep_up();
            }
        });
        Self { seed, inner, upkeep }
    }

    /// The seed of the cluster: that of the builder, or of the variable `ANTIPHON_SEED`.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// TestCluster::builder().place("eu", 1).entity(Counter::provider()).seed(7).run(
    ///     async |cluster| {
    ///         assert_eq!(cluster.seed(), 7);
    ///         Ok(())
    ///     },
    /// );
    /// ```
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The names of all places.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # let builder = TestCluster::builder().entity(Counter::provider());
    /// builder.place("eu", 1).place("us", 1).run(async |cluster| {
    ///     assert_eq!(cluster.places(), ["eu", "us"]);
    ///     Ok(())
    /// });
    /// ```
    pub fn places(&self) -> Vec<String> {
        let inner = self.inner.lock();
        inner.cluster.places.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Lets time pass for all nodes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// cluster.advance(Duration::from_secs(60)).await;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn advance(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Waits until a condition holds, for at most two minutes of the clock, and asks for it every
    /// 20 ms.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # let builder = TestCluster::builder().entity(Counter::provider());
    /// # builder.place("eu", 1).place("us", 1).run(async |cluster| {
    /// let add = |reply_to| Command::Add { delta: 1, reply_to };
    /// cluster.ask::<Counter, _>("eu-0", "c-1", add).await?;
    /// let get = |reply_to| Command::Get { reply_to };
    /// cluster
    ///     .until("the event arrives", async || {
    ///         cluster.ask::<Counter, _>("us-0", "c-1", get).await.is_ok_and(|sum| sum == 1)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Timeout`, naming `what`.
    pub async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) -> Result<()> {
        let until = SystemClock.now() + WAIT_MAX;
        while !holds().await {
            if SystemClock.now() > until {
                return Err(Error::timeout(format!(
                    "{what}: expected within {WAIT_MAX:?} of the clock, actual not yet"
                )));
            }
            tokio::time::sleep(STEP).await;
        }
        Ok(())
    }

    /// Waits until all nodes run and reach all shards.
    async fn until_ready(&self, within: Duration) -> Result<()> {
        let until = SystemClock.now() + within;
        loop {
            let (refusal, reason) = {
                let inner = self.inner.lock();
                (inner.cluster.user.refusal(), inner.not_ready())
            };
            if let Some(error) = refusal {
                return Err(error);
            }
            let Some(reason) = reason else { return Ok(()) };
            if SystemClock.now() > until {
                return Err(Error::timeout(format!(
                    "the cluster: expected to be ready within {within:?} of the clock, actual {reason}"
                )));
            }
            tokio::time::sleep(STEP).await;
        }
    }
}

/// Longest wait for a condition, by the clock of the cluster.
const WAIT_MAX: Duration = Duration::from_secs(120);

impl Drop for TestCluster {
    fn drop(&mut self) {
        self.upkeep.abort();
        if std::thread::panicking() {
            eprintln!("{}", repeat::of_cluster(self.seed));
        }
        let mut inner = self.inner.lock();
        for index in 0..inner.cluster.members.len() {
            inner.cluster.crash(index);
        }
    }
}
