//! Figures from the nodes' metrics: latencies and paths of events, summed over all processes.

use std::collections::BTreeMap;

use antiphon::prelude::*;

use super::places::{PlaceNode, Places};
use crate::client::Client;

/// Sums over processes.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    /// By upper bound in microseconds: events that took at most that time.
    latencies: BTreeMap<u64, u64>,
    pub(super) direct: u64,
    pub(super) pulled: u64,
}

impl Figures {
    /// Adds the metrics of all running nodes, or of the node named `only`.
    pub(super) async fn add(&mut self, places: &Places, only: Option<&str>) -> Result<()> {
        for node in places.nodes.iter().filter(|node| node.is_running) {
            if only.is_none_or(|name| name == node.name) {
                self.merge(&Self::of(node).await?);
            }
        }
        Ok(())
    }

    async fn of(node: &PlaceNode) -> Result<Self> {
        let mut figures = Self::default();
        let (_, body) = Client::new(node.http.clone()).get("/metrics", &[]).await?;
        for line in String::from_utf8_lossy(&body).lines() {
            figures.line(line);
        }
        Ok(figures)
    }

    fn merge(&mut self, other: &Self) {
        for (bound, count) in &other.latencies {
            *self.latencies.entry(*bound).or_default() += count;
        }
        self.direct += other.direct;
        self.pulled += other.pulled;
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

    /// The upper bound in milliseconds of the latency of that share of the events; `None` when
    /// there are no events.
    pub(super) fn latency_at_most(&self, share: f64) -> Option<f64> {
        let total = *self.latencies.get(&u64::MAX)?;
        let enough = |count: u64| total > 0 && count as f64 >= share * total as f64;
        let bound =
            self.latencies.iter().find(|(_, count)| enough(**count)).map(|(bound, _)| *bound)?;
        Some(if bound == u64::MAX { f64::INFINITY } else { bound as f64 / 1000.0 })
    }
}

/// Figures of nodes that another program kills and restarts. The counters of a process are lost
/// with it, so they are read from time to time.
#[derive(Debug, Default)]
pub(super) struct Watch {
    ended: Figures,
    newest: BTreeMap<String, Figures>,
}

impl Watch {
    /// Reads the counters of all nodes. A node with lower counters than before is a new process;
    /// the last values of the old process are kept.
    pub(super) async fn look(&mut self, places: &Places) -> Result<()> {
        for node in &places.nodes {
            self.note(&node.name, Figures::of(node).await?);
        }
        Ok(())
    }

    fn note(&mut self, node: &str, now: Figures) {
        let total = |figures: &Figures| figures.direct + figures.pulled;
        if let Some(before) = self.newest.insert(node.to_owned(), now.clone())
            && total(&now) < total(&before)
        {
            self.ended.merge(&before);
        }
    }

    /// The sum over all processes.
    pub(super) fn sum(&self) -> Figures {
        let mut sum = self.ended.clone();
        self.newest.values().for_each(|figures| sum.merge(figures));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_a_process_that_ended_are_kept() {
        let figures = |direct| Figures { direct, ..Figures::default() };
        let mut watch = Watch::default();
        for (node, direct) in [("a", 5), ("b", 1), ("a", 7), ("a", 2), ("a", 3), ("b", 1)] {
            watch.note(node, figures(direct));
        }
        assert_eq!(watch.sum().direct, 7 + 3 + 1);
    }
}
