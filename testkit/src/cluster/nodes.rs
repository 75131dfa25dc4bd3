//! The nodes of a test cluster, and the links between them.

use std::time::Duration;

use antiphon_base::Result;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_runtime::Node;

use super::{TestCluster, WAIT_MAX};

/// Nodes.
impl TestCluster {
    /// The names of all nodes, also of those that do not run.
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
    pub fn nodes(&self) -> Vec<String> {
        self.inner.lock().cluster.members.iter().map(|member| member.name.clone()).collect()
    }

    /// The node with this name, for its metrics, its members and so on.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// assert!(cluster.node("eu-1")?.is_live());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a node that does not run.
    pub fn node(&self, name: &str) -> Result<Node> {
        Ok(self.inner.lock().running(name)?.node.clone())
    }

    /// Kills a node, as `kill -9` does: nothing is said to the others. Its entities answer from
    /// another node of its place after a few seconds of the clock; a place without a node is down.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// let add = |reply_to| Command::Add { delta: 1, reply_to };
    /// cluster.ask::<Counter, _>("eu-0", "c-1", add).await?;
    /// cluster.kill("eu-0")?;
    /// let get = |reply_to| Command::Get { reply_to };
    /// cluster
    ///     .until("the other node has the counter", async || {
    ///         cluster.ask::<Counter, _>("eu-1", "c-1", get).await.is_ok_and(|sum| sum == 1)
    ///     })
    ///     .await?;
    /// assert!(cluster.kill("eu-0").is_err(), "it was killed already");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a node that does not run.
    pub fn kill(&self, node: &str) -> Result<()> {
        self.inner.lock().kill(node)
    }

    /// Starts a node again, after a kill if it runs, and waits until all nodes that were not killed
    /// are up and reach all entities that can be reached.
    ///
    /// A cancelled call leaves the node starting.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// cluster.kill("eu-0")?;
    /// cluster.restart("eu-0").await?;
    /// assert!(cluster.node("eu-0")?.is_live());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name; `Timeout` when the node is not up after two minutes of the
    /// clock, for example because it is cut off.
    pub async fn restart(&self, node: &str) -> Result<()> {
        {
            let mut inner = self.inner.lock();
            let index = inner.index(node)?;
            if inner.cluster.members[index].running.is_some() {
                inner.kill(node)?;
            }
            inner.cluster.begin_start(index);
            inner.apply_links();
        }
        self.until(&format!("node `{node}` is up"), async || self.is_ready(node)).await
    }

    /// Returns whether a node runs and all its types have homes.
    fn is_ready(&self, node: &str) -> bool {
        let inner = self.inner.lock();
        let running = inner.running(node);
        running.is_ok_and(|running| running.sharding.iter().all(|kind| kind.is_ready()))
    }

    /// Freezes a node: until [`Self::thaw`], or for two minutes of the clock, no frame reaches it
    /// or leaves it, and its stores do not answer it. Its timers go on. The others declare a node
    /// dead that is frozen for long; then it ends, and starts again.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// cluster.freeze("eu-0")?;
    /// let add = |reply_to| Command::Add { delta: 1, reply_to };
    /// let (answer, _) = tokio::join!(cluster.ask::<Counter, _>("eu-0", "c-1", add), async {
    ///     cluster.advance(Duration::from_millis(500)).await;
    ///     cluster.thaw("eu-0")
    /// });
    /// assert_eq!(answer?, 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a node that does not run.
    pub fn freeze(&self, node: &str) -> Result<()> {
        self.inner.lock().freeze(node, SystemClock.now() + WAIT_MAX)
    }

    /// Ends the freeze of a node. Nothing happens when it is not frozen.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// cluster.freeze("eu-0")?;
    /// cluster.thaw("eu-0")?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a node that does not run.
    pub fn thaw(&self, node: &str) -> Result<()> {
        self.inner.lock().thaw(node)
    }
}

/// Links.
impl TestCluster {
    /// Cuts two nodes from each other: all frames between them are lost, silently, until
    /// [`Self::heal`]. The cut stays when a node starts again.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 3).entity(Counter::provider()).run(async |cluster| {
    /// cluster.cut("eu-0", "eu-2")?;
    /// assert!(cluster.cut("eu-0", "eu-0").is_err());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a node and itself.
    pub fn cut(&self, a: &str, b: &str) -> Result<()> {
        self.cut_one_way(a, b)?;
        self.cut_one_way(b, a)
    }

    /// Cuts the way from one node to another; frames in the other direction arrive.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// cluster.cut_one_way("eu-0", "eu-1")?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a node and itself.
    pub fn cut_one_way(&self, from: &str, to: &str) -> Result<()> {
        let mut inner = self.inner.lock();
        two_nodes(&inner, from, to)?;
        inner.links.cut(from, to);
        inner.apply_links();
        Ok(())
    }

    /// Cuts two places from each other. Each place reads and writes on; the journals of the other
    /// place stay readable, unless [`refuse_stores`](Self::refuse_stores) refuses them.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # let builder = TestCluster::builder().entity(Counter::provider());
    /// # builder.place("eu", 1).place("us", 1).run(async |cluster| {
    /// cluster.cut_places("eu", "us")?;
    /// let unknown = cluster.cut_places("eu", "asia").unwrap_err();
    /// assert!(unknown.to_string().contains(r#"expected one of ["eu", "us"]"#));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a place and itself.
    pub fn cut_places(&self, a: &str, b: &str) -> Result<()> {
        let (ours, theirs) = {
            let inner = self.inner.lock();
            (inner.nodes_of(a)?, inner.nodes_of(b)?)
        };
        for one in &ours {
            for other in &theirs {
                self.cut(one, other)?;
            }
        }
        Ok(())
    }

    /// Cuts a node off from all others; its stores stay.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 3).entity(Counter::provider()).run(async |cluster| {
    /// cluster.isolate("eu-0")?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name.
    pub fn isolate(&self, node: &str) -> Result<()> {
        self.inner.lock().index(node)?;
        self.nodes()
            .iter()
            .filter(|other| *other != node)
            .try_for_each(|other| self.cut(node, other))
    }

    /// Delays each frame between two nodes by this time more than usual (0.1 to 0.5 ms).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// cluster.delay("eu-0", "eu-1", Duration::from_millis(40))?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a node and itself.
    pub fn delay(&self, a: &str, b: &str, by: Duration) -> Result<()> {
        let mut inner = self.inner.lock();
        two_nodes(&inner, a, b)?;
        inner.links.trouble(a, b, |trouble| trouble.delay = by);
        inner.apply_links();
        Ok(())
    }

    /// Loses so many frames in a hundred between two nodes; which ones follows from the seed.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// cluster.lose("eu-0", "eu-1", 5)?;
    /// assert!(cluster.lose("eu-0", "eu-1", 101).is_err());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, for a node and itself, and for more than 100.
    pub fn lose(&self, a: &str, b: &str, percent: u32) -> Result<()> {
        if percent > 100 {
            return Err(antiphon_base::Error::rejected(format!(
                "`percent` of lost frames: expected 0 to 100, actual {percent}"
            )));
        }
        let mut inner = self.inner.lock();
        two_nodes(&inner, a, b)?;
        inner.links.trouble(a, b, |trouble| trouble.lost_per_million = percent * 10_000);
        inner.apply_links();
        Ok(())
    }

    /// Ends all cuts, delays and losses between nodes. Frozen nodes stay frozen.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// cluster.cut("eu-0", "eu-1")?;
    /// cluster.heal();
    /// # Ok(())
    /// # });
    /// ```
    pub fn heal(&self) {
        let mut inner = self.inner.lock();
        inner.links.heal();
        inner.apply_links();
    }

    /// Ends the cuts, delays and losses between two nodes.
    ///
    /// ```
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// cluster.cut("eu-0", "eu-1")?;
    /// cluster.heal_between("eu-0", "eu-1")?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a node and itself.
    pub fn heal_between(&self, a: &str, b: &str) -> Result<()> {
        let mut inner = self.inner.lock();
        two_nodes(&inner, a, b)?;
        inner.links.heal_between(a, b);
        inner.apply_links();
        Ok(())
    }
}

fn two_nodes(inner: &super::inner::Inner, a: &str, b: &str) -> Result<()> {
    let (one, other) = (inner.index(a)?, inner.index(b)?);
    if one == other {
        return Err(antiphon_base::Error::rejected(format!(
            "a link of node `{a}`: expected another node at its other end, actual itself"
        )));
    }
    Ok(())
}
