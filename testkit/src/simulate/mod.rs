//! Seeded simulations of an entity: see [`simulate`].

mod check;
mod failure;
mod history;
mod minimise;
mod plan;
mod rules;
mod run;

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::entity::EventSourced;
use antiphon_sharding::{AskError, EntityRef, ReplicatedEntityProvider, ShardingSettings};
use proptest::strategy::Strategy;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use failure::{Failure, SimulationReport};
pub use history::{Answered, SimulatedRun};
use plan::Sizes;

/// Sends a value of the strategy to an entity, and waits for the answer.
type Ask<C, V, A> = Arc<
    dyn Fn(EntityRef<C>, V) -> Pin<Box<dyn Future<Output = Result<A, AskError>>>> + Send + Sync,
>;
/// Says whether an answered command must have stored an event.
type StoresEvents<V, A> = Arc<dyn Fn(&V, &A) -> bool + Send + Sync>;
/// An invariant on the end of a run.
type OnRun<E, V, A> = Arc<dyn Fn(&SimulatedRun<'_, E, V, A>) -> Result<(), String> + Send + Sync>;
/// Invariants, each with its name.
type Named<T> = Vec<(String, T)>;
/// An invariant on each state.
type OnState<S> = Arc<dyn Fn(&S) -> Result<(), String> + Send + Sync>;

/// A simulation of an entity, which [`simulate`] makes.
///
/// ```
/// # use antiphon_testkit::examples::{Command, Counter};
/// # use antiphon_testkit::simulate;
/// let simulation = simulate(Counter::provider(), 0..9_i64, async |counter, delta| {
///     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
/// });
/// simulation.sizes(10, 1, 2).seeds(1).check();
/// ```
#[must_use = "a simulation does nothing before `check` or `run`"]
pub struct Simulation<E: EventSourced, S: Strategy, A> {
    provider: ReplicatedEntityProvider<E>,
    strategy: S,
    ask: Ask<E::Command, S::Value, A>,
    stores_events: Option<StoresEvents<S::Value, A>>,
    on_run: Named<OnRun<E, S::Value, A>>,
    on_state: Named<OnState<E::State>>,
    seeds: u64,
    sizes: Sizes,
    minimise_runs_max: usize,
}

/// Simulates an entity under faults: whole nodes of two or three places run in one process under
/// virtual time, clients ask entities at all places with values of a strategy, and nodes crash,
/// pause and restart, links are cut, late and lossy, and stores are slow and fail. Then all faults
/// end, and the rules of Antiphon and of the application are checked. Everything follows from a
/// seed.
///
/// `ask` sends a value to an entity and waits for the answer. It turns a refusal of the entity, and
/// an error that is right for it, into an answer: after the last fault, an error fails the run.
///
/// ```
/// use antiphon_testkit::examples::{Command, Counter};
/// use antiphon_testkit::simulate;
///
/// // in a function with `#[test]`
/// simulate(Counter::provider(), 0..100_i64, async |counter, delta| {
///     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
/// })
/// .stores_events(|_, _| true)
/// .always("no counter is negative", |value| {
///     if *value < 0 { Err(format!("{value}")) } else { Ok(()) }
/// })
/// .invariant("nothing that was added is lost", |run| {
///     for (entity, replica, value) in run.states() {
///         let answers = run.answers_of(entity).filter(|one| one.answer.is_ok());
///         let added: i64 = answers.map(|one| one.input).sum();
///         if *value < added {
///             return Err(format!("`{entity}` at `{replica}` is {value}, {added} were added"));
///         }
///     }
///     Ok(())
/// })
/// .seeds(3)
/// .check();
/// ```
///
/// # Rules
///
/// These rules are checked in each run, beside the invariants of the application:
///
/// - no lost write: the events that are in the journal when a command is answered stay there; with
///   [`stores_events`](Simulation::stores_events), an answered command has some;
/// - exactly once, causal order, no fork: each event is in a stream once, behind its causes, and is
///   the same everywhere;
/// - single home, single writer: no two live nodes host a shard, and no append takes effect after
///   its writer was sealed;
/// - liveness: after the last fault each replica of each entity answers one more command;
/// - convergence: all replicas end with the same events;
/// - one state: these events give the same state at every replica, at every replay, and from the
///   snapshot;
/// - determinism: a second run of the seed is the same, so handlers do not depend on a clock,
///   randomness or the order of a hash map;
/// - no panic: no code panics, that of the application neither.
///
/// # Sizes and times
///
/// A run has 30 commands to three entities, at most six faults and three virtual seconds of
/// trouble. Longer times in the settings of the provider are shortened, for example passivation to
/// 4 s, and a snapshot is taken after seven events (also where the provider has none), so that a
/// short run has all of it.
pub fn simulate<E, S, A, F>(
    provider: ReplicatedEntityProvider<E>,
    strategy: S,
    ask: F,
) -> Simulation<E, S, A>
where
    E: EventSourced,
    E::Command: Serialize + DeserializeOwned,
    E::State: PartialEq + Debug,
    S: Strategy,
    S::Value: Clone + Send + Sync + 'static,
    A: Debug + 'static,
    F: AsyncFn(EntityRef<E::Command>, S::Value) -> Result<A, AskError> + Send + Sync + 'static,
{
    let ask = Arc::new(ask);
    let settings = shortened(provider.settings());
    Simulation {
        provider: provider.with_settings(settings).with_encoded_commands(true),
        strategy,
        ask: Arc::new(move |entity, input| {
            let ask = ask.clone();
            Box::pin(async move { ask(entity, input).await })
        }),
        stores_events: None,
        on_run: Vec::new(),
        on_state: Vec::new(),
        seeds: 200,
        sizes: Sizes { entities: 3, commands: 30, faults_max: 6 },
        minimise_runs_max: 200,
    }
}

impl<E: EventSourced, S: Strategy, A> Simulation<E, S, A> {
    /// Sets which answered commands must have stored an event: by default none, since a command
    /// may only read.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::simulate;
    /// # let simulation = simulate(Counter::provider(), 0..9_i64, async |counter, delta| {
    /// #     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
    /// # });
    /// simulation.stores_events(|delta, _| *delta != 0).seeds(1).check();
    /// ```
    pub fn stores_events(
        mut self,
        must: impl Fn(&S::Value, &A) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.stores_events = Some(Arc::new(must));
        self
    }

    /// Adds an invariant on the end of each run: on the answers and the states. Its error says what
    /// is wrong.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::simulate;
    /// # let simulation = simulate(Counter::provider(), 0..9_i64, async |counter, delta| {
    /// #     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
    /// # });
    /// let simulation = simulation.invariant("somebody was answered", |run| {
    ///     let is_answered = run.answers().iter().any(|one| one.answer.is_ok());
    ///     if is_answered { Ok(()) } else { Err("nobody".to_owned()) }
    /// });
    /// simulation.seeds(1).check();
    /// ```
    pub fn invariant(
        mut self,
        name: impl Into<String>,
        holds: impl Fn(&SimulatedRun<'_, E, S::Value, A>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.on_run.push((name.into(), Arc::new(holds)));
        self
    }

    /// Adds an invariant on every state of every replica: the first one, and the one after each
    /// event, in the order of the events at that replica.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::simulate;
    /// # let simulation = simulate(Counter::provider(), 0..9_i64, async |counter, delta| {
    /// #     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
    /// # });
    /// let simulation = simulation.always("never negative", |value| {
    ///     if *value < 0 { Err(format!("{value}")) } else { Ok(()) }
    /// });
    /// simulation.seeds(1).check();
    /// ```
    pub fn always(
        mut self,
        name: impl Into<String>,
        holds: impl Fn(&E::State) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.on_state.push((name.into(), Arc::new(holds)));
        self
    }

    /// Sets the number of seeds; the default is 200. The variable `ANTIPHON_SEEDS` replaces it, and
    /// `ANTIPHON_SEED` runs one seed alone.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::simulate;
    /// # let simulation = simulate(Counter::provider(), 0..9_i64, async |counter, delta| {
    /// #     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
    /// # });
    /// simulation.seeds(2).check();
    /// ```
    pub fn seeds(mut self, count: u64) -> Self {
        self.seeds = count;
        self
    }

    /// Sets the number of commands of a run before its faults end (30), to how many entities they
    /// go (3, at least one), and the most faults of a run (6).
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::simulate;
    /// # let simulation = simulate(Counter::provider(), 0..9_i64, async |counter, delta| {
    /// #     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
    /// # });
    /// simulation.sizes(60, 1, 0).seeds(1).check();
    /// ```
    pub fn sizes(mut self, commands: usize, entities: usize, faults_max: usize) -> Self {
        self.sizes = Sizes { entities: entities.max(1), commands, faults_max };
        self
    }

    /// Sets the most runs in which a failing seed is made smaller; the default is 200, and 0 leaves
    /// it as it is.
    ///
    /// ```
    /// # use antiphon_testkit::examples::{Command, Counter};
    /// # use antiphon_testkit::simulate;
    /// # let simulation = simulate(Counter::provider(), 0..9_i64, async |counter, delta| {
    /// #     counter.ask(|reply_to| Command::Add { delta, reply_to }).await
    /// # });
    /// simulation.minimise_runs_max(20).seeds(1).check();
    /// ```
    pub fn minimise_runs_max(mut self, runs_max: usize) -> Self {
        self.minimise_runs_max = runs_max;
        self
    }
}

/// The settings with short times, so that a run has many changes.
fn shortened(given: &ShardingSettings) -> ShardingSettings {
    let mut settings = given.clone();
    let shorter = |time: &mut Duration, most: u64| *time = Duration::from_secs(most).min(*time);
    shorter(&mut settings.passivate_after, 4);
    shorter(&mut settings.loop_interval, 1);
    shorter(&mut settings.loop_interval_max, 3);
    shorter(&mut settings.loop_retell, 3);
    shorter(&mut settings.home_timeout, 4);
    shorter(&mut settings.stop_timeout, 3);
    shorter(&mut settings.entity.asynchronous_timeout, 2);
    let every = &mut settings.entity.snapshot_every;
    *every = if *every == 0 { 7 } else { 7.min(*every) };
    settings
}
