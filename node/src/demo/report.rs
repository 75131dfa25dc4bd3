//! The table at the end.

use std::time::Duration;

use antiphon::prelude::*;

use super::feed::{Outcome, Stage};
use super::verify::{Converged, JournalCheck};

/// All results at the end.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) outcome: Outcome,
    /// Time from the kill to the first answer from another node, if this process killed a node.
    pub(super) failed_over: Option<Duration>,
    /// The stages, in order.
    pub(super) stages: Vec<Stage>,
    pub(super) converged: Converged,
    pub(super) journals: Vec<JournalCheck>,
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
            // attached places must not stand still in any stage; here the bids may just be few
            && (self.failed_over.is_some() || self.stages.iter().all(|stage| stage.bids > 0))
    }

    pub(super) fn print(&self) -> Result<()> {
        say!("")?;
        for line in stage_lines(&self.stages) {
            say!("  {line}")?;
        }
        say!("")?;
        let row = |name: &str, value: String| say!("  {name:<52} {value:>16}");
        row(
            "bids accepted",
            format!("{} of {}", self.outcome.acknowledged.len(), self.outcome.total),
        )?;
        for check in &self.journals {
            row(&format!("events in the journal of {}", check.replica), check.events.to_string())?;
        }
        row("acknowledged bids missing in a journal (must be 0)", self.lost().to_string())?;
        row("events stored twice (must be 0)", self.twice().to_string())?;
        row(
            &format!("of {} auctions, winner differs (must be 0)", self.converged.auctions),
            self.converged.different.to_string(),
        )?;
        if let Some(took) = self.failed_over {
            row("fail-over: kill -9 to the first answer elsewhere", format!("{took:.2?}"))?;
        }
        row("time to agree after the last bid", format!("{:.2?}", self.converged.took))?;
        say!("\n  {}", if self.is_good() { "all checks hold" } else { "A CHECK FAILED" })
    }
}

/// The table of the stages: what a client saw, and how the events came to the other replicas.
fn stage_lines(stages: &[Stage]) -> Vec<String> {
    let width = stages.iter().map(|stage| stage.name.chars().count()).max().unwrap_or(0).max(5);
    let line = |name: &str, cells: [&str; 7]| {
        let [bids, repeated, longest, p50, p99, max, direct] = cells;
        format!(
            "{name:<width$} {bids:>7} {repeated:>9} {longest:>15} {p50:>16} {p99:>11} {max:>11} {direct:>9}"
        )
    };
    let mut lines = vec![line(
        "stage",
        ["bids", "repeated", "longest answer", "replication p50", "p99", "max", "direct"],
    )];
    for stage in stages {
        let latency = |share| match stage.figures.latency_at_most(share) {
            Some(millis) if millis.is_finite() => format!("<= {millis} ms"),
            Some(_) => "> 10 s".to_owned(),
            None => "-".to_owned(),
        };
        let longest = stage.longest.values().max();
        let longest = longest.map_or("-".to_owned(), |longest| format!("{longest:.1?}"));
        lines.push(line(
            &stage.name,
            [
                &stage.bids.to_string(),
                &stage.retries.to_string(),
                &longest,
                &latency(0.5),
                &latency(0.99),
                &latency(1.0),
                &direct(stage.figures.direct, stage.figures.pulled),
            ],
        ));
    }
    lines
}

/// The share of the events that came by direct replication.
fn direct(direct: u64, pulled: u64) -> String {
    match direct + pulled {
        0 => "-".to_owned(),
        all => format!("{:.1} %", 100.0 * direct as f64 / all as f64),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::figures::Figures;
    use super::*;

    #[test]
    fn each_stage_has_a_line_of_its_own_and_the_columns_stand_below_each_other() {
        let stage = |name: &str, bids, direct, pulled| Stage {
            name: name.to_owned(),
            bids,
            retries: 0,
            longest: BTreeMap::from([("A".to_owned(), Duration::from_millis(12))]),
            figures: Figures { direct, pulled, ..Figures::default() },
        };
        let lines = stage_lines(&[
            stage("all nodes up", 6000, 5999, 1),
            stage("dc-b-1 killed", 3000, 0, 0),
        ]);
        let cells: Vec<Vec<&str>> =
            lines.iter().map(|line| line.split_whitespace().rev().take(2).collect()).collect();
        assert_eq!(cells, [["direct", "max"], ["%", "100.0"], ["-", "-"]]);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{lines:#?}");
        assert!(
            lines[1].starts_with("all nodes up     6000         0          12.0ms"),
            "{lines:#?}"
        );
    }
}
