//! Whole nodes in one process under virtual time: engine, sharding, replication, membership, on stores and links in memory that fail.
//! Everything follows from a seed. See README.md beside this file.

mod clients;
mod clock;
mod cluster;
mod faults;
mod invariants;
mod ledger;
mod place;
mod run;
mod scenarios;
mod stores;

use std::sync::atomic::{AtomicU64, Ordering};

use run::{Outcome, simulate};

/// So many seeds in `make check`; `SEEDS=n` for more, `SEED=n` for one.
const SEEDS: u64 = 500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn run_seed(seed: u64) -> Outcome {
    let outcome = simulate(seed);
    if let Err(reason) = &outcome.verdict {
        panic!(
            "seed {seed}: {reason}\nreproduce with: SEED={seed} cargo test -p antiphon-tests --test simulation seeds -- --nocapture"
        );
    }
    outcome
}

#[test]
fn all_invariants_hold_for_all_seeds() {
    if let Some(seed) = number("SEED") {
        let outcome = run_seed(seed);
        println!("{}", outcome.trace.join("\n"));
        return;
    }
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    run_seed(seed);
                }
            });
        }
    });
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 77, 2024] {
        let (first, second) = (simulate(seed), simulate(seed));
        for (line, (a, b)) in first.trace.iter().zip(&second.trace).enumerate() {
            assert_eq!(a, b, "seed {seed}, line {line}");
        }
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
        assert!(first.trace.len() > 50, "seed {seed}: a run in which nothing happens");
    }
}
