//! Antiphon's benchmarks: each figure beside a reference that was measured in the same run.
//!
//! `make bench` runs all cases, `make bench CASE=appends` those whose name contains the word. A
//! table goes to the terminal, and one JSON object a line to `target/bench.jsonl`. The benchmarks
//! need a quiet machine.

mod baseline;
mod cases;
mod process;
mod report;
mod stats;

use std::process::ExitCode;

use report::Report;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(outcome) = cases::child(&arguments) {
        return outcome;
    }
    let wanted = arguments.first().map_or("", String::as_str);
    let all = if wanted.starts_with("cassandra") { cases::CASSANDRA } else { cases::ALL };
    let chosen: Vec<_> = all.iter().filter(|(name, _)| name.contains(wanted)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        eprintln!("case `{wanted}`: expected part of one of {}", names.join(", "));
        return ExitCode::from(2);
    }
    let mut report = match Report::create() {
        Ok(report) => report,
        Err(error) => {
            eprintln!("target/bench.jsonl cannot be written: {error}");
            return ExitCode::FAILURE;
        }
    };
    for (name, case) in chosen {
        eprintln!("-- {name}");
        case(&mut report);
    }
    report.print_table();
    ExitCode::SUCCESS
}
