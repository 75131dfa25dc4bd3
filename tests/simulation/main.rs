//! Whole nodes in one process under virtual time: engine, sharding, replication, membership, with
//! stores and links in memory that fail. Everything follows from a seed. See README.md beside this
//! file.

mod acts;
mod clients;
mod cluster;
mod faults;
mod invariants;
mod ledger;
mod orders;
mod place;
mod rewind;
mod run;
mod scenarios;
mod scenarios_of_acts;
mod scenarios_of_faults;
mod scenarios_of_forms;
mod user;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_testkit::harness::{form, stores, trace};
use parking_lot::Mutex;
use run::{Outcome, simulate};
use tokio::time::Instant;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Seeds in `make check`; `SEEDS=n` for another number, `SEED=n` for one seed.
const SEEDS: u64 = 500;

/// Number of failed seeds after which no further seed begins.
const FAILURES_MAX: usize = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn told(seed: u64, outcome: &Outcome) -> Option<String> {
    let reason = outcome.verdict.as_ref().err()?;
    Some(format!(
        "seed {seed}: {reason}\nreproduce with: SEED={seed} cargo test -p antiphon-tests --test simulation seeds -- --nocapture"
    ))
}

/// The virtual time, as the trace of a run has it.
struct VirtualTime(Instant);

impl FormatTime for VirtualTime {
    fn format_time(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        write!(out, "{:10.6}", (SystemClock.now() - self.0).as_secs_f64())
    }
}

/// Prints the log of all nodes of one seed, if `LOG` has a filter: `LOG=info SEED=7`.
fn log() {
    if let Ok(filter) = std::env::var("LOG") {
        let start = VirtualTime(SystemClock.now());
        let log = tracing_subscriber::fmt().with_timer(start).with_env_filter(filter);
        log.with_ansi(false).init();
    }
}

#[test]
fn all_invariants_hold_for_all_seeds() {
    if let Some(seed) = number("SEED") {
        log();
        let outcome = simulate(seed);
        println!("{}", outcome.trace.join("\n"));
        assert_eq!(told(seed, &outcome), None);
        return;
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let slowest = Mutex::new((Duration::ZERO, Duration::ZERO));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds || failures.lock().len() >= FAILURES_MAX {
                return;
            }
            let outcome = simulate(seed);
            let mut slowest = slowest.lock();
            *slowest = (slowest.0.max(outcome.took.0), slowest.1.max(outcome.took.1));
            failures.lock().extend(told(seed, &outcome));
        }
    };
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let (answers, equal) = *slowest.lock();
    println!(
        "after the last fault all answered within {answers:?}, and were equal within {equal:?}"
    );
    let failures = failures.into_inner();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 77, 2024, 1, 18] {
        let (first, second) = (simulate(seed), simulate(seed));
        for (line, (a, b)) in first.trace.iter().zip(&second.trace).enumerate() {
            assert_eq!(a, b, "seed {seed}, line {line}");
        }
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
        assert!(first.trace.len() > 50, "seed {seed}: a run in which nothing happens");
    }
}
