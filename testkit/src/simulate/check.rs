//! All seeds of a simulation: each run twice, and a failing one made smaller.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::entity::{EventSourced, Replayed};
use antiphon_persistence::identity::ReplicaId;
use antiphon_sharding::ReplicatedEntityProvider;
use parking_lot::Mutex;
use proptest::strategy::Strategy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::LocalSet;

use super::failure::Found;
use super::history::SimulatedRun;
use super::minimise::minimise;
use super::plan::Plan;
use super::run::{Ended, Subject};
use super::{Failure, Named, OnRun, OnState, Simulation, SimulationReport};
use crate::harness::panics;
use crate::kinds::placed;
use crate::repeat::{self, Kept};
use crate::streams::{Begin, Stream};

/// Seeds whose plans are drawn at once.
const BATCH: u64 = 64;

/// The part of a simulation that all threads share.
struct Examiner<E: EventSourced, V, A> {
    provider: ReplicatedEntityProvider<E>,
    ask: super::Ask<E::Command, V, A>,
    stores_events: Option<super::StoresEvents<V, A>>,
    on_run: Named<OnRun<E, V, A>>,
    on_state: Named<OnState<E::State>>,
}

impl<E, S, A> Simulation<E, S, A>
where
    E: EventSourced,
    E::Command: Serialize + DeserializeOwned,
    E::State: PartialEq + Debug,
    S: Strategy,
    S::Value: Clone + Send + Sync + 'static,
    A: Debug + 'static,
{
    /// Runs all seeds, as [`Self::run`] does.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::simulate;
    /// let simulation = simulate(Counter::provider(), 0..9_i64, async |counter, delta| {
    ///     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
    /// });
    /// simulation.seeds(1).check();
    /// ```
    ///
    /// # Panics
    /// Panics when a seed fails, with the rule, the commands and faults that are enough, and the
    /// command that repeats the run.
    #[track_caller]
    pub fn check(self) {
        let is_one = repeat::seed().is_some();
        match self.run() {
            Ok(report) if is_one => println!("{report:?}"),
            Ok(_) => {}
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Runs all seeds, on as many threads as the machine has cores. The seeds are 0, 1 and so on,
    /// or the one of the variable `ANTIPHON_SEED`. In that case the trace of its run is printed.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::simulate;
    /// let simulation = simulate(Counter::provider(), 0..9_i64, async |counter, delta| {
    ///     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
    /// });
    /// let report = simulation.seeds(2).run().unwrap();
    /// println!("{} commands were answered", report.answered);
    /// ```
    ///
    /// # Errors
    /// The failure of the lowest seed that fails, made smaller.
    pub fn run(self) -> Result<SimulationReport, Failure> {
        let start = SystemClock.now();
        let kept = Kept::of_environment();
        let seeds = match repeat::seed() {
            Some(seed) => seed..seed + 1,
            None => 0..repeat::seeds().unwrap_or(self.seeds),
        };
        assert!(
            !seeds.is_empty(),
            "`seeds`: expected at least 1 seed, actual 0: nothing would run"
        );
        let is_one = repeat::seed().is_some();
        let Self { provider, strategy, ask, stores_events, on_run, on_state, .. } = self;
        let (sizes, runs_max) = (self.sizes, self.minimise_runs_max);
        let places: Vec<String> = places(&provider);
        let replicas = provider.replicas().iter().map(ToString::to_string);
        let replicas: Vec<String> = replicas.collect();
        let examiner = Examiner { provider, ask, stores_events, on_run, on_state };
        let mut report = SimulationReport::default();
        let mut next = seeds.start;
        while next < seeds.end {
            let batch = next..seeds.end.min(next + BATCH);
            next = batch.end;
            let plans: Vec<Plan<S::Value>> = batch
                .map(|seed| Plan::draw(seed, &places, &replicas, &strategy, sizes).keep(&kept))
                .collect();
            if let Some((index, failure)) = examiner.batch(&plans, &mut report) {
                let plan = &plans[index];
                if is_one {
                    println!("{}", examiner.trace(plan).join("\n"));
                }
                let runs_max = if kept == Kept::default() { runs_max } else { 0 };
                return Err(examiner.smaller(plan, failure, &kept, runs_max));
            }
            if is_one {
                println!("{}", examiner.trace(&plans[0]).join("\n"));
            }
        }
        report.took = SystemClock.now() - start;
        Ok(report)
    }
}

/// The places that a provider needs; none: any.
fn places<E: EventSourced>(provider: &ReplicatedEntityProvider<E>) -> Vec<String> {
    let of = |replica: &ReplicaId| {
        provider.replica_place(replica).unwrap_or(replica.as_str()).to_owned()
    };
    let places: BTreeSet<String> = provider.replicas().iter().map(of).collect();
    places.into_iter().collect()
}

impl<E, V, A> Examiner<E, V, A>
where
    E: EventSourced,
    E::Command: Serialize + DeserializeOwned,
    E::State: PartialEq + Debug,
    V: Clone + Debug + Send + Sync + 'static,
    A: Debug + 'static,
{
    /// Examines plans on several threads. Returns the first one that fails.
    fn batch(&self, plans: &[Plan<V>], report: &mut SimulationReport) -> Option<(usize, Failure)> {
        let (next, found) = (AtomicUsize::new(0), Mutex::new(None::<(usize, Failure)>));
        let sum = Mutex::new(*report);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let is_over = found.lock().as_ref().is_some_and(|(first, _)| *first < index);
                if is_over || index >= plans.len() {
                    return;
                }
                match self.examine(&plans[index]) {
                    Ok(one) => {
                        let mut sum = sum.lock();
                        sum.seeds += 1;
                        sum.answered += one.answered;
                        sum.failed += one.failed;
                        sum.events += one.events;
                    }
                    Err(failure) => {
                        let mut found = found.lock();
                        if found.as_ref().is_none_or(|(first, _)| index < *first) {
                            *found = Some((index, failure));
                        }
                    }
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        thread::scope(|scope| {
            for _ in 0..threads.min(plans.len()) {
                scope.spawn(work);
            }
        });
        *report = sum.into_inner();
        found.into_inner()
    }

    /// Runs a plan twice and compares.
    fn examine(&self, plan: &Plan<V>) -> Result<SimulationReport, Failure> {
        let first = self.once(plan)?;
        let second = watched(|| {
            let ended = self.ended(plan);
            ended.verdict.clone().map(|()| ended)
        })?;
        if let Some(why) = differs(&first, &second) {
            return Err(Failure::of("determinism", why));
        }
        let answered = first.answers.iter().filter(|one| one.answer.is_ok()).count() as u64;
        let events = first.streams.iter().map(|stream| stream.events.len() as u64).sum();
        let failed = first.answers.len() as u64 - answered;
        Ok(SimulationReport { seeds: 1, answered, failed, events, ..SimulationReport::default() })
    }

    /// Runs a plan and checks every rule.
    fn once(&self, plan: &Plan<V>) -> Result<Ended<V, A>, Failure> {
        watched(|| {
            let ended = self.ended(plan);
            ended.verdict.clone()?;
            self.check_states(plan, &ended)?;
            Ok(ended)
        })
    }

    fn subject(&self, plan: &Plan<V>) -> Subject<E, V, A> {
        let provider = placed(self.provider.clone(), &plan.places).expect("places of the provider");
        Subject { provider, ask: self.ask.clone(), stores_events: self.stores_events.clone() }
    }

    /// Runs a plan.
    fn ended(&self, plan: &Plan<V>) -> Ended<V, A> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        LocalSet::new().block_on(&runtime, self.subject(plan).run(plan))
    }

    /// Checks the states at the end of a run, and the invariants.
    fn check_states(&self, plan: &Plan<V>, ended: &Ended<V, A>) -> Result<(), Failure> {
        let provider = self.subject(plan).provider;
        let replay = |stream: &Stream, begin| {
            let replayed = stream.replay(&provider, provider.replicas(), begin);
            replayed.map_err(|error| Failure::of("one state", error.to_string()))
        };
        let mut states: Vec<(String, ReplicaId, Replayed<E>)> = Vec::new();
        for stream in &ended.streams {
            let (entity, at) = (stream.id.entity_id().to_string(), stream.id.replica_id().clone());
            let state = replay(stream, Begin::Snapshot)?;
            if stream.is_whole() {
                let again = replay(stream, Begin::FirstEvent)?;
                same(
                    &state,
                    &again,
                    &entity,
                    (&at, "from the snapshot"),
                    (&at, "from its events"),
                )?;
                let third = replay(stream, Begin::FirstEvent)?;
                same(&again, &third, &entity, (&at, "at a replay"), (&at, "at the next replay"))?;
                self.each_state(stream, &replay)?;
            }
            let other = states.last().filter(|(other, ..)| *other == entity);
            if let Some((_, other_at, other)) = other {
                same(other, &state, &entity, (other_at, "at the end"), (&at, "at the end"))?;
            }
            states.push((entity, at, state));
        }
        let run = SimulatedRun { seed: plan.seed, answers: &ended.answers, states: &states };
        for (name, holds) in &self.on_run {
            holds(&run).map_err(|why| Failure::of(name, why))?;
        }
        Ok(())
    }

    /// Checks the invariants on every state of a stream.
    fn each_state(
        &self,
        stream: &Stream,
        replay: &impl Fn(&Stream, Begin) -> Result<Replayed<E>, Failure>,
    ) -> Result<(), Failure> {
        if self.on_state.is_empty() {
            return Ok(());
        }
        for count in 0..=stream.events.len() {
            let mut part = stream.clone();
            part.events.truncate(count);
            let state = replay(&part, Begin::FirstEvent)?;
            for (name, holds) in &self.on_state {
                holds(state.state()).map_err(|why| {
                    let (entity, at) = (stream.id.entity_id(), stream.id.replica_id());
                    let what = format!("`{entity}` at `{at}` after {count} events: {why}");
                    Failure::of(name, what)
                })?;
            }
        }
        Ok(())
    }

    /// The trace of a run.
    fn trace(&self, plan: &Plan<V>) -> Vec<String> {
        panics::watch_quietly();
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| self.ended(plan)));
        panics::end();
        ended.map_or_else(|_| vec!["the run panicked".to_owned()], |ended| ended.trace)
    }

    /// The failure of a plan with fewer commands and faults.
    fn smaller(&self, plan: &Plan<V>, failure: Failure, given: &Kept, runs_max: usize) -> Failure {
        let commands: BTreeSet<usize> = plan.commands.iter().map(|one| one.number).collect();
        let faults: BTreeSet<usize> = plan.faults.iter().map(|one| one.number).collect();
        let (of_commands, of_faults) = (commands.len(), faults.len());
        let mut last = failure;
        let minimal = minimise(commands, faults, runs_max, |kept| {
            let part = plan.keep(kept);
            let failed = if last.rule() == "determinism" {
                self.examine(&part).map(drop)
            } else {
                self.once(&part).map(drop)
            };
            match failed {
                Err(failure) if failure.rule() == last.rule() => {
                    last = failure;
                    true
                }
                Ok(()) | Err(_) => false,
            }
        });
        let kept = if runs_max == 0 { given.clone() } else { minimal.kept };
        let parts = plan.keep(&kept).told();
        let (all, runs) = ((of_commands, of_faults), minimal.runs);
        let test = repeat::this_test();
        last.with(Found { seed: plan.seed, kept, test, parts, all, runs })
    }
}

/// Runs something in which no code may panic, also where tokio or a guard swallows the panic.
fn watched<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    panics::watch_quietly();
    let ended = std::panic::catch_unwind(AssertUnwindSafe(run));
    if let Some(panic) = panics::end() {
        return Err(Failure::of("no panic", panic));
    }
    ended.unwrap_or_else(|_| Err(Failure::of("no panic", "the run panicked")))
}

/// Checks that two replays gave the same state.
fn same<E: EventSourced>(
    one: &Replayed<E>,
    other: &Replayed<E>,
    entity: &str,
    of_one: (&ReplicaId, &str),
    of_other: (&ReplicaId, &str),
) -> Result<(), Failure>
where
    E::State: PartialEq + Debug,
{
    if one.state() == other.state() {
        return Ok(());
    }
    Err(Failure::of(
        "one state",
        format!(
            "`{entity}`: the same events give {:?} at `{}` {}, and {:?} at `{}` {}",
            one.state(),
            of_one.0,
            of_one.1,
            other.state(),
            of_other.0,
            of_other.1
        ),
    ))
}

/// The first difference between two runs of one plan.
fn differs<V, A>(first: &Ended<V, A>, second: &Ended<V, A>) -> Option<String> {
    for (one, other) in first.streams.iter().zip(&second.streams) {
        let (entity, at) = (one.id.entity_id(), one.id.replica_id());
        let pairs = one.events.iter().zip(&other.events);
        let differing = pairs.enumerate().find(|(_, (a, b))| a.payload != b.payload);
        if let Some((index, _)) = differing {
            let number = index + 1;
            return Some(format!(
                "`{entity}` at `{at}`: event {number} has other bytes in the second run: a handler reads a clock, randomness or the order of a hash map, or keeps something between runs"
            ));
        }
    }
    let lines = first.trace.iter().zip(&second.trace);
    let differing = lines.enumerate().find(|(_, (a, b))| a != b);
    if let Some((line, (one, other))) = differing {
        return Some(format!("line {line} of the trace is `{one}`, and then `{other}`"));
    }
    let (one, other) = (first.trace.len(), second.trace.len());
    (one != other).then(|| format!("{one} lines of the trace, and then {other}"))
}
