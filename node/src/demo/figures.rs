//! Figures from the nodes' metrics: latencies and paths of events, summed over all processes.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon::base::time::{Clock, SystemClock};
use antiphon::prelude::*;

use super::places::{PlaceNode, Places};

/// Time without an event from a journal after which a fault counts as over, and the longest wait
/// for it.
const CALM: Duration = Duration::from_millis(300);
const CALM_LIMIT: Duration = Duration::from_secs(10);

/// Sums over processes.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    /// By upper bound in microseconds: events that took at most that time.
    pub(super) latencies: BTreeMap<u64, u64>,
    pub(super) direct: u64,
    pub(super) pulled: u64,
}

impl Figures {
    async fn of(places: &Places, node: &PlaceNode) -> Result<Self> {
        let mut figures = Self::default();
        let (status, body) = places.client(node).get("/metrics", &[]).await?;
        if !status.is_success() {
            return Err(Error::unavailable(format!("{}: /metrics: {status}", node.name)));
        }
        for line in String::from_utf8_lossy(&body).lines() {
            figures.line(line);
        }
        Ok(figures)
    }

    /// The figures that were added since `before`, an earlier sum.
    pub(super) fn since(&self, before: &Self) -> Self {
        let latencies = self.latencies.iter().map(|(bound, count)| {
            let before = before.latencies.get(bound).copied().unwrap_or_default();
            (*bound, count.saturating_sub(before))
        });
        Self {
            latencies: latencies.collect(),
            direct: self.direct.saturating_sub(before.direct),
            pulled: self.pulled.saturating_sub(before.pulled),
        }
    }

    /// Adds other figures.
    pub(super) fn merge(&mut self, other: &Self) {
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

/// Figures of nodes that are killed and restarted. The counters of a process are lost with it, so
/// they are read from time to time.
#[derive(Debug, Default)]
pub(super) struct Watch {
    ended: Figures,
    newest: BTreeMap<String, Figures>,
}

impl Watch {
    /// Reads the counters of all running nodes, and returns the sum over all processes. A node with
    /// lower counters than before is a new process; the last values of the old process are kept.
    pub(super) async fn look(&mut self, places: &Places) -> Result<Figures> {
        for node in places.nodes.iter().filter(|node| node.is_running) {
            self.note(&node.name, Figures::of(places, node).await?);
        }
        Ok(self.sum())
    }

    /// Looks until no event has come by reading a journal for a moment, so that the events of a
    /// fault are not counted in the stage after it.
    pub(super) async fn look_until_calm(&mut self, places: &Places) -> Result<Figures> {
        let mut before = self.look(places).await?;
        let until = SystemClock.now() + CALM_LIMIT;
        loop {
            tokio::time::sleep(CALM).await;
            let now = self.look(places).await?;
            if now.pulled == before.pulled || SystemClock.now() > until {
                return Ok(now);
            }
            before = now;
        }
    }

    fn note(&mut self, node: &str, now: Figures) {
        let total = |figures: &Figures| figures.direct + figures.pulled;
        if let Some(before) = self.newest.insert(node.to_owned(), now.clone())
            && total(&now) < total(&before)
        {
            self.ended.merge(&before);
        }
    }

    fn sum(&self) -> Figures {
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

    #[test]
    fn a_stage_has_the_events_that_came_since_the_stage_before() {
        let figures = |text: &str| {
            let mut figures = Figures::default();
            text.lines().for_each(|line| figures.line(line));
            figures
        };
        let name = "antiphon_replication_seconds_bucket{type=\"auction\",le=";
        let before = figures(&format!("{name}\"0.001\"}} 5\n{name}\"+Inf\"}} 6"));
        let now = figures(&format!("{name}\"0.001\"}} 5\n{name}\"0.25\"}} 9\n{name}\"+Inf\"}} 9"));
        assert_eq!(before.latency_at_most(0.5), Some(1.0));
        assert_eq!(now.since(&before).latency_at_most(0.5), Some(250.0));
        assert_eq!(now.since(&now).latency_at_most(0.5), None);
    }
}
