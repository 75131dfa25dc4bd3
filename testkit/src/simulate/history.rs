//! The end of a run, as the invariants of an application see it.

use antiphon_persistence::entity::{EventSourced, Replayed};
use antiphon_persistence::identity::ReplicaId;
use antiphon_sharding::AskError;

/// A command of a run, with its answer.
///
/// ```
/// use antiphon_testkit::Answered;
///
/// /// The sum of what was certainly added.
/// fn added(answers: &[Answered<i64, i64>]) -> i64 {
///     answers.iter().filter(|one| one.answer.is_ok()).map(|one| one.input).sum()
/// }
/// # assert_eq!(added(&[]), 0);
/// ```
#[derive(Debug, Clone)]
pub struct Answered<V, A> {
    /// The number of the command in the plan of the seed. A command at the end of a run that failed
    /// is sent again, and stands here once for each attempt.
    pub number: usize,
    /// The id of the entity.
    pub entity: String,
    /// The replica that was asked.
    pub replica: ReplicaId,
    /// The value of the strategy.
    pub input: V,
    /// The answer. After an error that is not [`is_without_effect`](AskError::is_without_effect)
    /// the command may have taken effect or not.
    pub answer: Result<A, AskError>,
}

/// The end of a run: every fault is over, and all replicas have the same events.
///
/// ```
/// use antiphon_testkit::SimulatedRun;
/// # use antiphon_testkit::examples::Counter;
///
/// /// An invariant of counters: each value is the sum of all deltas that may have been added.
/// fn no_sum_is_too_large(run: &SimulatedRun<'_, Counter, i64, i64>) -> Result<(), String> {
///     for (entity, _, value) in run.states() {
///         let most: i64 = run.answers_of(entity).map(|one| one.input.max(0)).sum();
///         if *value > most {
///             return Err(format!("`{entity}` is {value}, and at most {most} was added"));
///         }
///     }
///     Ok(())
/// }
/// ```
pub struct SimulatedRun<'a, E: EventSourced, V, A> {
    pub(super) seed: u64,
    pub(super) answers: &'a [Answered<V, A>],
    pub(super) states: &'a [(String, ReplicaId, Replayed<E>)],
}

impl<E: EventSourced, V, A> SimulatedRun<'_, E, V, A> {
    /// The seed of the run.
    ///
    /// ```
    /// # use antiphon_testkit::SimulatedRun;
    /// # use antiphon_testkit::examples::Counter;
    /// fn title(run: &SimulatedRun<'_, Counter, i64, i64>) -> String {
    ///     format!("seed {}", run.seed())
    /// }
    /// ```
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// All commands with their answers, in the order in which the answers came.
    ///
    /// ```
    /// # use antiphon_testkit::SimulatedRun;
    /// # use antiphon_testkit::examples::Counter;
    /// fn failed(run: &SimulatedRun<'_, Counter, i64, i64>) -> usize {
    ///     run.answers().iter().filter(|one| one.answer.is_err()).count()
    /// }
    /// ```
    pub fn answers(&self) -> &[Answered<V, A>] {
        self.answers
    }

    /// The commands of one entity with their answers, in the order in which the answers came.
    ///
    /// ```
    /// # use antiphon_testkit::SimulatedRun;
    /// # use antiphon_testkit::examples::Counter;
    /// fn sent_to_the_first(run: &SimulatedRun<'_, Counter, i64, i64>) -> usize {
    ///     run.answers_of("e-0").count()
    /// }
    /// ```
    pub fn answers_of(&self, entity: &str) -> impl Iterator<Item = &Answered<V, A>> {
        self.answers.iter().filter(move |answered| answered.entity == entity)
    }

    /// The states at the end: entity, replica, state. All replicas of an entity have equal states.
    ///
    /// ```
    /// # use antiphon_testkit::SimulatedRun;
    /// # use antiphon_testkit::examples::Counter;
    /// fn largest(run: &SimulatedRun<'_, Counter, i64, i64>) -> Option<i64> {
    ///     run.states().map(|(_entity, _replica, value)| *value).max()
    /// }
    /// ```
    pub fn states(&self) -> impl Iterator<Item = (&str, &ReplicaId, &E::State)> {
        self.states.iter().map(|(entity, replica, replayed)| (&**entity, replica, replayed.state()))
    }
}
