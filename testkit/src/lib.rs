//! Test kits for the entities of an application: a cluster in one process, and seeded simulations.
//!
//! Three kits are there, from the smallest to the largest. Use the smallest that can see the fault:
//!
//! - `EntityTest` (`antiphon::persistence::entity::testkit`) runs one behaviour without a cluster.
//!   A test finds wrong events, answers and states, and takes microseconds.
//! - [`TestCluster`] runs places and nodes with the production code, in one process. A test finds
//!   wrong behaviour under a fault that you name (a cut, a killed node, a failed append), and takes
//!   less than a second.
//! - [`simulate`](fn@simulate) runs the same under faults that a seed draws, and finds what nobody
//!   has thought of. 200 seeds take half a minute.
//!
//! # Begin
//!
//! This crate is a development dependency:
//!
//! ```toml
//! [dev-dependencies]
//! antiphon-testkit = "0.1"
//! proptest = { version = "1", default-features = false, features = ["std"] }
//! ```
//!
//! The kit is no feature of the crate `antiphon`, since it makes tokio's time controllable
//! (`tokio/test-util`), and a feature would do that to the application too wherever Cargo unites
//! features.
//!
//! # A story: `TestCluster`
//!
//! The test below runs a counter at two places, cuts them from each other, writes at both, heals
//! the cut, and waits until both agree. It takes twenty seconds of virtual time, and less than one
//! of yours.
//!
//! ```
//! use std::time::Duration;
//!
//! use antiphon_testkit::TestCluster;
//! # use antiphon_testkit::examples::{Command, Counter};
//!
//! # /*
//! #[test]
//! # */
//! fn counters_agree_after_a_cut() {
//!     TestCluster::builder().place("eu", 2).place("us", 1).entity(Counter::provider()).run(
//!         async |cluster| {
//!             let add = |delta| move |reply_to| Command::Add { delta, reply_to };
//!             cluster.cut_places("eu", "us")?;
//!             cluster.ask::<Counter, _>("eu-0", "c-1", add(2)).await?;
//!             cluster.ask::<Counter, _>("us-0", "c-1", add(3)).await?;
//!             cluster.advance(Duration::from_secs(20)).await;
//!
//!             cluster.heal();
//!             assert_eq!(*cluster.until_agreed::<Counter>("c-1").await?.state(), 5);
//!             Ok(())
//!         },
//!     );
//! }
//! # counters_agree_after_a_cut();
//! ```
//!
//! # Everything else: `simulate`
//!
//! A simulation needs a strategy for commands, a way to ask, and the invariants that you promise:
//!
//! ```
//! use antiphon_testkit::simulate;
//! # use antiphon_testkit::examples::{Command, Counter};
//!
//! # /*
//! #[test]
//! # */
//! fn nothing_that_was_added_is_lost() {
//!     simulate(Counter::provider(), 0..100_i64, async |counter, delta| {
//!         counter.ask(|reply_to| Command::Add { delta, reply_to }).await
//!     })
//!     .invariant("each acknowledged sum is there", |run| {
//!         for (entity, replica, value) in run.states() {
//!             let answers = run.answers_of(entity).filter(|one| one.answer.is_ok());
//!             let added: i64 = answers.map(|one| one.input).sum();
//!             if *value < added {
//!                 return Err(format!("`{entity}` at `{replica}`: {value}, added {added}"));
//!             }
//!         }
//!         Ok(())
//!     })
//!     # .seeds(2)
//!     .check();
//! }
//! # nothing_that_was_added_is_lost();
//! ```
//!
//! A failing seed is made smaller and printed with the command that repeats it:
//!
//! ```text
//! seed 3: one state: `e-1`: the same events give ["a", "b"] at `A`, and ["b", "a"] at `B`
//! it fails with 2 of 36 commands and 0 of 4 faults (31 runs were tried):
//!   command 12 after 1.2s: "a" to `e-1` at `A`
//!   command 13 after 1.21s: "b" to `e-1` at `B`
//! repeat with: ANTIPHON_SEED=3 ANTIPHON_COMMANDS=12,13 ANTIPHON_FAULTS=none cargo test ..
//! ```
//!
//! # Variables
//!
//! - `ANTIPHON_SEED=7`: the seed of each `TestCluster`, and the only seed of each simulation, whose
//!   trace is printed.
//! - `ANTIPHON_SEEDS=10000`: the number of seeds of each simulation.
//! - `ANTIPHON_COMMANDS=3,7`, `ANTIPHON_FAULTS=none`: the commands and faults of the seed that are
//!   kept, by their numbers.

mod cluster;
#[doc(hidden)]
pub mod examples;
#[doc(hidden)]
pub mod harness;
mod kinds;
mod repeat;
mod simulate;
mod streams;

pub use cluster::{Agreed, TestCluster, TestClusterBuilder};
pub use simulate::{Answered, Failure, SimulatedRun, Simulation, SimulationReport, simulate};

/// The snippets of the guide, which is linked into this crate.
#[cfg(doctest)]
#[doc = include_str!("../testing.md")]
struct Guide;
