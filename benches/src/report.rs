//! The report of the figures: a table for people, JSON lines for machines.

use std::fs::File;
use std::io::Write;

use serde::Serialize;

use crate::stats::Runs;

/// A figure beside its reference.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// The benchmark.
    pub(crate) bench: &'static str,
    /// The variant of the benchmark.
    pub(crate) case: String,
    /// The median of the runs.
    pub(crate) value: f64,
    /// The unit of the value.
    pub(crate) unit: &'static str,
    /// The number of runs.
    pub(crate) runs: usize,
    /// The name of the reference, and its value; empty when there is none.
    pub(crate) reference: String,
    /// The median of value / reference, where there is a reference.
    pub(crate) ratio: Option<f64>,
}

/// Collects figures.
pub(crate) struct Report {
    lines: File,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn create() -> std::io::Result<Self> {
        std::fs::create_dir_all("target")?;
        let lines = File::options().create(true).append(true).open("target/bench.jsonl")?;
        Ok(Self { lines, figures: Vec::new() })
    }

    /// Adds a figure with a reference measured in the same runs.
    pub(crate) fn compare(
        &mut self,
        bench: &'static str,
        case: impl Into<String>,
        unit: &'static str,
        values: &Runs,
        (reference, reference_values): (&str, &Runs),
    ) {
        let ratio = values.median() / reference_values.median();
        let reference = format!("{reference}: {}", readable(reference_values.median()));
        let (value, runs) = (values.median(), values.count());
        let case = case.into();
        self.add(Figure { bench, case, value, unit, runs, reference, ratio: Some(ratio) });
    }

    /// Adds a figure without a reference.
    pub(crate) fn plain(
        &mut self,
        bench: &'static str,
        case: impl Into<String>,
        unit: &'static str,
        values: &Runs,
    ) {
        let (value, runs) = (values.median(), values.count());
        let (case, reference) = (case.into(), String::new());
        self.add(Figure { bench, case, value, unit, runs, reference, ratio: None });
    }

    fn add(&mut self, figure: Figure) {
        let line = serde_json::to_string(&figure).expect("plain values can be encoded");
        if let Err(error) = writeln!(self.lines, "{line}") {
            eprintln!("target/bench.jsonl cannot be written: {error}");
        }
        eprintln!("{}", row(&figure));
        self.figures.push(figure);
    }

    pub(crate) fn print_table(&self) {
        println!(
            "\n{:<22} {:<34} {:>12} {:<12} {:>6}  reference",
            "bench", "case", "value", "unit", "ratio"
        );
        for figure in &self.figures {
            println!("{}", row(figure));
        }
    }
}

fn row(figure: &Figure) -> String {
    let ratio = figure.ratio.map_or(String::from("-"), |ratio| format!("{ratio:.2}"));
    let value = readable(figure.value);
    let Figure { bench, case, unit, reference, .. } = figure;
    format!("{bench:<22} {case:<34} {value:>12} {unit:<12} {ratio:>6}  {reference}")
}

fn readable(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}
