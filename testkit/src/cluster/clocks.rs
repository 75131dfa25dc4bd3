//! The times of day of the nodes of a test cluster.

use std::time::Duration;

use antiphon_base::Result;
use antiphon_base::time::{Clock, Timestamp};

use super::TestCluster;

/// Clocks.
impl TestCluster {
    /// The time of day at a node. It begins in November 2023, and passes as the virtual time does.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 1).entity(Counter::provider()).run(async |cluster| {
    /// let before = cluster.time("eu-0")?.as_micros();
    /// cluster.advance(Duration::from_secs(3)).await;
    /// assert_eq!(cluster.time("eu-0")?.as_micros() - before, 3_000_000);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a node that does not run.
    pub fn time(&self, node: &str) -> Result<Timestamp> {
        Ok(self.inner.lock().running(node)?.clock.wall())
    }

    /// Sets the time of day of a node ahead of the others by this much, until the node starts
    /// again. Zero sets it right.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// cluster.set_clock_ahead("eu-0", Duration::from_secs(60))?;
    /// assert!(cluster.time("eu-0")? > cluster.time("eu-1")?);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a node that does not run.
    pub fn set_clock_ahead(&self, node: &str, by: Duration) -> Result<()> {
        self.skew(node, i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
    }

    /// Sets the time of day of a node behind the others by this much, until the node starts again.
    /// Zero sets it right.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use antiphon_testkit::examples::Counter;
    /// # use antiphon_testkit::TestCluster;
    /// # TestCluster::builder().place("eu", 2).entity(Counter::provider()).run(async |cluster| {
    /// cluster.set_clock_behind("eu-0", Duration::from_secs(60))?;
    /// assert!(cluster.time("eu-0")? < cluster.time("eu-1")?);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// `Rejected` for an unknown name, and for a node that does not run.
    pub fn set_clock_behind(&self, node: &str, by: Duration) -> Result<()> {
        self.skew(node, -i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
    }

    fn skew(&self, node: &str, micros: i64) -> Result<()> {
        // three thousand years are far enough, and every sum stays a time
        let most = 100_000_000_000_000_000;
        self.inner.lock().running(node)?.clock.skew(micros.clamp(-most, most));
        Ok(())
    }
}
