//! The results of a simulation.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::repeat::{self, Kept};

/// The rule that a run broke, or an invariant of the application.
///
/// ```
/// # use antiphon_testkit::examples::{Command, Counter};
/// # use antiphon_testkit::simulate;
/// # let simulation = simulate(Counter::provider(), 0..9_i64, async |counter, delta| {
/// #     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
/// # });
/// let small = simulation.always("is small", |value| {
///     if *value < 3 { Ok(()) } else { Err(format!("{value}")) }
/// });
/// let failure = small.seeds(20).run().unwrap_err();
/// assert_eq!(failure.rule(), "is small");
/// assert!(failure.commands().len() <= 3, "few commands are enough");
/// assert!(failure.repeat_with().starts_with(&format!("ANTIPHON_SEED={}", failure.seed())));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    rule: String,
    reason: String,
    found: Box<Found>,
}

/// The run that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) seed: u64,
    pub(super) kept: Kept,
    /// The command that runs the test.
    pub(super) test: String,
    /// A line for each command and fault that is kept.
    pub(super) parts: Vec<String>,
    /// The numbers of commands and faults before they were made fewer.
    pub(super) all: (usize, usize),
    /// The runs that it took.
    pub(super) runs: usize,
}

impl Failure {
    /// A failure whose seed and parts are filled in later.
    pub(super) fn of(rule: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { rule: rule.into(), reason: reason.into(), found: Box::default() }
    }

    pub(super) fn with(mut self, found: Found) -> Self {
        self.found = Box::new(found);
        self
    }

    /// The name of the rule, or of the invariant.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The difference, with entity and replica.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.found.seed
    }

    /// The numbers of the commands with which the run fails; empty when it fails without any, and
    /// when all are needed because the run was not made smaller.
    pub fn commands(&self) -> BTreeSet<usize> {
        self.found.kept.commands.clone().unwrap_or_default()
    }

    /// The numbers of the faults with which the run fails, as [`Self::commands`].
    pub fn faults(&self) -> BTreeSet<usize> {
        self.found.kept.faults.clone().unwrap_or_default()
    }

    /// The command that repeats the run.
    pub fn repeat_with(&self) -> String {
        repeat::of_simulation(self.found.seed, &self.found.kept, &self.found.test)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { seed, kept, parts, all: (commands, faults), runs, .. } = &*self.found;
        writeln!(f, "seed {seed}: {}: {}", self.rule, self.reason)?;
        let count =
            |kept: &Option<BTreeSet<usize>>, all: &usize| kept.as_ref().map_or(*all, BTreeSet::len);
        writeln!(
            f,
            "it fails with {} of {commands} commands and {} of {faults} faults ({runs} runs were tried):",
            count(&kept.commands, commands),
            count(&kept.faults, faults)
        )?;
        for part in parts {
            writeln!(f, "  {part}")?;
        }
        write!(f, "repeat with: {}", self.repeat_with())
    }
}

impl std::error::Error for Failure {}

/// The numbers of a simulation that found nothing.
///
/// ```
/// # use antiphon_testkit::examples::{Command, Counter};
/// # use antiphon_testkit::simulate;
/// # let simulation = simulate(Counter::provider(), 0..9_i64, async |counter, delta| {
/// #     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
/// # });
/// let report = simulation.seeds(2).run().unwrap();
/// assert_eq!(report.seeds, 2);
/// assert!(report.answered > 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SimulationReport {
    /// Seeds that were run, each twice.
    pub seeds: u64,
    /// Commands that were answered.
    pub answered: u64,
    /// Commands that got an error, because of a fault.
    pub failed: u64,
    /// Events in the journals at the end, each counted once for each replica.
    pub events: u64,
    /// Time by the clock of the machine.
    pub took: Duration,
}
