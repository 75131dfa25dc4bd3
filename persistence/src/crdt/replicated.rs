//! The calling convention of all replicated types.

use super::context::OperationContext;

/// A value that every replica changes by operations.
///
/// 1. A command handler *prepares* an operation with a method of the value that it sees. That
///    changes nothing.
/// 2. The operation is an event, or part of one.
/// 3. The event handler of every replica *applies* it, by reference, with its own context.
///
/// Delivery is causal and exactly once, so only concurrent operations commute. An operation has
/// seen the operations of the state from which it was prepared, and no others: two operations of
/// one command that are prepared from the same state have not seen each other.
///
/// ```
/// use antiphon_persistence::crdt::{Counter, CounterUpdated, OperationOf, OrSet, Replicated};
/// use antiphon_persistence::entity::testkit::EntityTest;
/// use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Default, Serialize, Deserialize)]
/// struct Film { views: Counter, tags: OrSet<String> }
///
/// #[derive(Debug, Serialize, Deserialize)]
/// enum Event { Viewed(CounterUpdated), Tagged(OperationOf<OrSet<String>>) }
///
/// #[derive(Debug, Serialize, Deserialize)]
/// enum Command { View, Tag(String) }
/// struct Films;
///
/// impl EventSourced for Films {
///     type Command = Command;
///     type Event = Event;
///     type State = Film;
///
///     fn on_command(&self, context: &CommandContext, film: &Film, command: Command)
///     -> Effect<Self> {
///         Effect::persist(match command {
///             Command::View => Event::Viewed(film.views.update(1)),
///             Command::Tag(tag) => Event::Tagged(film.tags.add(tag, context.replica_id())),
///         })
///     }
///
///     fn on_event(&self, context: &EventContext, film: &mut Film, event: &Event) {
///         match event {
///             Event::Viewed(operation) => film.views.apply(operation, context),
///             Event::Tagged(operation) => film.tags.apply(operation, context),
///         }
///     }
/// }
///
/// let mut film = EntityTest::new(Films, "film|f-1|DC-A");
/// film.tell(Command::View);
/// film.tell(Command::Tag("new".to_owned()));
/// assert_eq!(film.state().views.value(), 1);
/// assert!(film.state().tags.contains(&"new".to_owned()));
/// ```
pub trait Replicated {
    /// A change that every replica applies.
    type Operation;

    /// Applies an operation. Must commute with every concurrent operation, must not panic whatever
    /// the operation says, and must take numbers of the context in the same order everywhere.
    fn apply(&mut self, operation: &Self::Operation, context: &dyn OperationContext);

    /// The operation that takes back every operation that this value has seen, and no other;
    /// `None` for a type that cannot. A map applies it when a key is removed.
    fn reset(&self) -> Option<Self::Operation>;

    /// Returns whether the value is as before its first operation, without a trace of what was
    /// taken back. A map forgets such a value when its key is removed.
    fn is_initial(&self) -> bool;
}

/// The operation of a replicated type: `OperationOf<OrMap<String, OrSet<String>>>`.
pub type OperationOf<V> = <V as Replicated>::Operation;
