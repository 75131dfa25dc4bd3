//! Futures of asynchronous effects: those that hold up commands, and those beside the commands.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use antiphon_base::guard::Guarded;

use super::awaited::Awaited;
use crate::identity::ReplicationId;
use crate::reply::{Askers, ReplyError, refuse};

/// The future of an asynchronous effect, which yields the command to handle next.
pub(super) type CommandFuture<C> = Pin<Box<dyn Future<Output = C> + Send>>;

/// Makes a command of a failure.
pub(super) type OnFailure<C> = Box<dyn FnOnce(AsynchronousFailure) -> C + Send>;

/// The value of a future beside the commands. Only the maker of its command knows the type.
pub(super) type Outcome = Box<dyn Any + Send>;

/// A future beside the commands.
pub(super) type OutcomeFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Makes the command of a future beside the commands.
pub(super) type MakeCommand<C> = Box<dyn FnOnce(Result<Outcome, AsynchronousFailure>) -> C + Send>;

/// A future beside the commands that has not looked at the state yet.
pub(super) struct ThenAsynchronous<S, C> {
    pub(super) start: Box<dyn FnOnce(&S) -> OutcomeFuture + Send>,
    pub(super) made: MakeCommand<C>,
}

impl<S, C> ThenAsynchronous<S, C> {
    pub(super) fn new<T, F, Fut, G>(start: F, made: G) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&S) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        G: FnOnce(Result<T, AsynchronousFailure>) -> C + Send + 'static,
    {
        let start = move |state: &S| -> OutcomeFuture {
            let future = start(state);
            Box::pin(async move { Box::new(future.await) as Outcome })
        };
        let made = move |outcome: Result<Outcome, AsynchronousFailure>| {
            let value =
                |outcome: Outcome| *outcome.downcast::<T>().expect("its own future's value");
            made(outcome.map(value))
        };
        Self { start: Box::new(start), made: Box::new(made) }
    }
}

/// The reason why an asynchronous effect has no value.
///
/// ```
/// use antiphon_persistence::entity::AsynchronousFailure;
///
/// /// The answer to a customer whose payment has no result.
/// fn answer(failure: &AsynchronousFailure) -> &'static str {
///     match failure {
///         AsynchronousFailure::TooMany => "nothing was paid: try again",
///         // it may have been paid: ask the bank first
///         _ => "we are looking into it",
///     }
/// }
/// assert_eq!(answer(&AsynchronousFailure::TooMany), "nothing was paid: try again");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AsynchronousFailure {
    /// The future has not ended in time (`asynchronous_timeout`) and was dropped; it may have
    /// acted. `awaited` is the entity whose answer it waited for at that moment, if there was one.
    TimedOut {
        /// The entity that the future had asked.
        awaited: Option<ReplicationId>,
    },
    /// The future panicked; it may have acted before.
    Panicked,
    /// The future was not begun: `asynchronous_max` futures of the entity are under way.
    TooMany,
}

impl fmt::Display for AsynchronousFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { awaited } => {
                f.write_str(
                    "an asynchronous effect has not ended in time (`asynchronous_timeout`)",
                )?;
                match awaited {
                    Some(entity) => write!(f, ": it waited for an answer of `{entity}`"),
                    None => Ok(()),
                }
            }
            Self::Panicked => f.write_str("an asynchronous effect panicked"),
            Self::TooMany => f.write_str(
                "an asynchronous effect was not begun: too many are under way (`asynchronous_max`)",
            ),
        }
    }
}

impl std::error::Error for AsynchronousFailure {}

/// Waits for the future of an asynchronous effect, at most for `limit`. A call that is cancelled
/// drops the future where it waits. `askers` are the entity and its askers, when the future holds
/// up its commands.
pub(super) async fn wait<T>(
    mut future: Guarded<dyn Future<Output = T> + Send>,
    limit: Duration,
    askers: Option<Askers>,
) -> Result<T, AsynchronousFailure> {
    let awaited = Awaited::of(askers);
    match tokio::time::timeout(limit, awaited.scope(&mut future)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(AsynchronousFailure::Panicked),
        Err(_) => {
            let failure = AsynchronousFailure::TimedOut { awaited: awaited.entity() };
            // an asker that waits for an answer from the future gets the reason
            refuse(future, ReplyError::Unanswered(failure.to_string()));
            Err(failure)
        }
    }
}
