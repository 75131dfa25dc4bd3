//! What the nodes' metrics say: latencies and ways of events, added up over all processes.

use std::collections::BTreeMap;

use antiphon::prelude::*;

use crate::client::Client;
use crate::cluster::LocalCluster;

/// Sums over processes.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// By upper bound in microseconds: events that took at most so long.
    latencies: BTreeMap<u64, u64>,
    pub(super) direct: u64,
    pub(super) pulled: u64,
}

impl Figures {
    /// Adds the metrics of one node, or of all that run.
    pub(super) async fn add(&mut self, cluster: &LocalCluster, only: Option<&str>) -> Result<()> {
        for node in cluster.nodes().iter().filter(|node| node.is_running()) {
            if only.is_some_and(|name| name != node.name) {
                continue;
            }
            let (_, body) = Client::new(node.http.clone()).get("/metrics", &[]).await?;
            for line in String::from_utf8_lossy(&body).lines() {
                self.line(line);
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        let Some((name, value)) = line.rsplit_once(' ') else { return };
        if !name.contains("type=\"auction\"") {
            return;
        }
        let Ok(value) = value.parse::<f64>() else { return };
        if name.starts_with("antiphon_replication_seconds_bucket") {
            let bound = name.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
            let bound = bound.and_then(|bound| bound.parse::<f64>().ok()).unwrap_or(f64::INFINITY);
            let micros = if bound.is_finite() { (bound * 1e6) as u64 } else { u64::MAX };
            *self.latencies.entry(micros).or_default() += value as u64;
        } else if name.contains("what=\"events_direct\"") {
            self.direct += value as u64;
        } else if name.contains("what=\"events_pulled\"") {
            self.pulled += value as u64;
        }
    }

    /// The upper bound in milliseconds under which that share of the events stayed; `None` when there is none.
    pub(super) fn latency_at_most(&self, share: f64) -> Option<f64> {
        let total = *self.latencies.get(&u64::MAX)?;
        let enough = |count: u64| total > 0 && count as f64 >= share * total as f64;
        let bound =
            self.latencies.iter().find(|(_, count)| enough(**count)).map(|(bound, _)| *bound)?;
        Some(if bound == u64::MAX { f64::INFINITY } else { bound as f64 / 1000.0 })
    }
}
