//! The variables that repeat a run, and the command that sets them.

use std::collections::BTreeSet;
use std::thread;

/// The seed to run in place of others.
const SEED: &str = "ANTIPHON_SEED";
/// The number of seeds to run.
const SEEDS: &str = "ANTIPHON_SEEDS";
/// The numbers of the commands of a seed to keep.
const COMMANDS: &str = "ANTIPHON_COMMANDS";
/// The numbers of the faults of a seed to keep.
const FAULTS: &str = "ANTIPHON_FAULTS";

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("`{name}`: expected a number, actual {text:?}")))
}

/// The seed that the environment asks for.
pub(crate) fn seed() -> Option<u64> {
    number(SEED)
}

/// The number of seeds that the environment asks for.
pub(crate) fn seeds() -> Option<u64> {
    number(SEEDS)
}

/// The parts of a seed's run that are kept. `None`: all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) commands: Option<BTreeSet<usize>>,
    pub(crate) faults: Option<BTreeSet<usize>>,
}

impl Kept {
    /// The parts that the environment asks for, of one seed.
    ///
    /// # Panics
    /// Panics when a part is asked for and no seed: every seed would run with that part alone.
    pub(crate) fn of_environment() -> Self {
        if seed().is_none() {
            for name in [COMMANDS, FAULTS] {
                assert!(
                    std::env::var_os(name).is_none(),
                    "`{name}` is for one seed: set `{SEED}` too, or take it out of the environment"
                );
            }
        }
        Self { commands: numbers(COMMANDS), faults: numbers(FAULTS) }
    }
}

fn numbers(name: &str) -> Option<BTreeSet<usize>> {
    let text = std::env::var(name).ok()?;
    if text == "none" {
        return Some(BTreeSet::new());
    }
    let read: Result<BTreeSet<usize>, _> =
        text.split(',').map(|number| number.trim().parse()).collect();
    Some(read.unwrap_or_else(|_| {
        panic!("`{name}`: expected numbers with commas, such as `1,7`, or `none`, actual {text:?}")
    }))
}

fn told(numbers: &BTreeSet<usize>) -> String {
    if numbers.is_empty() {
        return "none".to_owned();
    }
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    numbers.join(",")
}

/// The test that runs on this thread, for `cargo test`.
fn test() -> String {
    let package = std::env::var("CARGO_PKG_NAME").map(|name| format!(" -p {name}"));
    let test = match thread::current().name() {
        Some(name) if name != "main" => format!(" {name} -- --exact --nocapture"),
        Some(_) | None => " -- --nocapture".to_owned(),
    };
    format!("cargo test{}{test}", package.unwrap_or_default())
}

/// The line that a test of a cluster prints when it fails.
pub(crate) fn of_cluster(seed: u64) -> String {
    format!("seed {seed}; repeat with: {SEED}={seed} {}", test())
}

/// The command that repeats a seed with these parts.
pub(crate) fn of_simulation(seed: u64, kept: &Kept, test: &str) -> String {
    let mut command = format!("{SEED}={seed}");
    for (name, numbers) in [(COMMANDS, &kept.commands), (FAULTS, &kept.faults)] {
        if let Some(numbers) = numbers {
            command += &format!(" {name}={}", told(numbers));
        }
    }
    format!("{command} {test}")
}

/// The command that runs the test of this thread alone.
pub(crate) fn this_test() -> String {
    test()
}
