//! The table at the end.

use std::time::Duration;

use antiphon::prelude::*;

use super::feed::{Outcome, Stage};
use super::figures::Figures;
use super::verify::{Converged, JournalCheck};
use crate::output::say;

/// All results at the end.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) outcome: Outcome,
    /// Time from the kill to the first answer from another node, if this process killed a node.
    pub(super) failed_over: Option<Duration>,
    /// The stages of attached places: the name of each stage, and the results of its bids.
    pub(super) stages: Vec<(String, Stage)>,
    pub(super) converged: Converged,
    pub(super) journals: Vec<JournalCheck>,
    pub(super) figures: Figures,
}

impl Report {
    fn lost(&self) -> usize {
        self.journals.iter().map(|check| check.lost).max().unwrap_or(0)
    }

    fn twice(&self) -> usize {
        self.journals.iter().map(|check| check.twice).sum()
    }

    pub(super) fn is_good(&self) -> bool {
        self.lost() == 0
            && self.twice() == 0
            && self.converged.different == 0
            && self.outcome.acknowledged.len() == self.outcome.total
            && self.stages.iter().all(|(_, stage)| stage.bids > 0)
    }

    pub(super) fn print(&self) -> Result<()> {
        let row = |name: &str, value: String| say!("  {name:<52} {value:>16}");
        say!("")?;
        row(
            "bids accepted",
            format!("{} of {}", self.outcome.acknowledged.len(), self.outcome.total),
        )?;
        row("attempts repeated (node down, answer lost)", self.outcome.retries.to_string())?;
        for check in &self.journals {
            row(&format!("events in the journal of {}", check.replica), check.events.to_string())?;
        }
        row("acknowledged bids missing in a journal (must be 0)", self.lost().to_string())?;
        row("events stored twice (must be 0)", self.twice().to_string())?;
        row(
            &format!("of {} auctions, winner differs (must be 0)", self.converged.auctions),
            self.converged.different.to_string(),
        )?;
        let latency = |share| match self.figures.latency_at_most(share) {
            Some(millis) if millis.is_finite() => format!("<= {millis} ms"),
            Some(_) => "> 10 s".to_owned(),
            None => "-".to_owned(),
        };
        row("replication latency, p50", latency(0.5))?;
        row("replication latency, p99", latency(0.99))?;
        row("replication latency, max", latency(1.0))?;
        let (direct, pulled) = (self.figures.direct, self.figures.pulled);
        let share = 100.0 * direct as f64 / ((direct + pulled).max(1)) as f64;
        row("events that came by direct replication", format!("{direct} ({share:.2} %)"))?;
        row("events that came by reading a journal", pulled.to_string())?;
        if let Some(took) = self.failed_over {
            row("fail-over: kill -9 to the first answer elsewhere", format!("{took:.2?}"))?;
        }
        for (name, stage) in &self.stages {
            row(&format!("bids while {name} (must be > 0)"), stage.bids.to_string())?;
            for (replica, longest) in &stage.longest {
                row(&format!("    longest answer of {replica}"), format!("{longest:.2?}"))?;
            }
        }
        row("time to agree after the last bid", format!("{:.2?}", self.converged.took))?;
        say!("\n  {}", if self.is_good() { "all checks hold" } else { "A CHECK FAILED" })
    }
}
