//! The futures of an entity under test. They run as far as they get, on the thread of the test, and
//! the test says when time is over for one, or that it panics.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use antiphon_base::guard::Guarded;
use tokio::runtime::{Builder, Handle, Runtime};

use super::watched::Watched;
use crate::entity::asynchronous::{CommandFuture, OutcomeFuture};
use crate::entity::awaited::Awaited;
use crate::entity::engine::{Generation, Input};
use crate::entity::{AsynchronousFailure, EventSourced};
use crate::identity::ReplicationId;
use crate::reply::{Askers, ReplyError, refuse};

type In<E> = Input<Watched<E>>;

/// A future that is under way.
struct UnderWay<E: EventSourced> {
    /// Yields the input that ends it.
    future: Pin<Box<dyn Future<Output = In<E>> + Send>>,
    failed: Box<dyn FnOnce(AsynchronousFailure) -> In<E> + Send>,
    awaited: Awaited,
    /// The time at which it is over for the future.
    deadline: Duration,
}

/// The futures of one entity.
pub(super) struct Futures<E: EventSourced> {
    all: BTreeMap<u64, UnderWay<E>>,
    begun: u64,
    /// True when futures wait until the test runs them.
    pub(super) are_held: bool,
    /// The context of futures that ask other entities, in a test without a runtime of its own.
    context: Option<Runtime>,
}

impl<E: EventSourced> Futures<E> {
    pub(super) fn new() -> Self {
        Self { all: BTreeMap::new(), begun: 0, are_held: false, context: None }
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Takes a future that holds up the commands of its entity.
    pub(super) fn hold_up(
        &mut self,
        id: &ReplicationId,
        generation: Generation,
        future: CommandFuture<E::Command>,
        (askers, number): (Option<Askers>, u64),
        deadline: Duration,
    ) {
        let awaited = Awaited::of(Some(Askers::and(askers.as_ref(), id, number)));
        let future = Guarded::new("asynchronous", id.to_string(), future);
        let end = move |result| Input::AsynchronousDone(generation, result);
        self.begin(future, awaited, deadline, end);
    }

    /// Takes a future beside the commands.
    pub(super) fn beside(
        &mut self,
        id: &ReplicationId,
        (generation, number): (Generation, u64),
        future: OutcomeFuture,
        deadline: Duration,
    ) {
        let future = Guarded::new("then_asynchronous", id.to_string(), future);
        let end = move |result| Input::BesideDone(generation, number, result);
        self.begin(future, Awaited::of(None), deadline, end);
    }

    fn begin<T: Send + 'static>(
        &mut self,
        future: Guarded<dyn Future<Output = T> + Send>,
        awaited: Awaited,
        deadline: Duration,
        end: impl Fn(Result<T, AsynchronousFailure>) -> In<E> + Copy + Send + 'static,
    ) {
        let scope = awaited.clone();
        let future = Box::pin(async move {
            let value = scope.scope(future).await;
            end(value.map_err(|_| AsynchronousFailure::Panicked))
        });
        let failed = Box::new(move |failure| end(Err(failure)));
        self.all.insert(self.begun, UnderWay { future, failed, awaited, deadline });
        self.begun += 1;
    }

    /// Polls each future once, unless they are held. Returns the inputs of those that have ended.
    pub(super) fn poll(&mut self) -> Vec<In<E>> {
        if self.are_held || self.all.is_empty() {
            return Vec::new();
        }
        self.run()
    }

    /// Polls each future once. Returns the inputs of those that have ended.
    pub(super) fn run(&mut self) -> Vec<In<E>> {
        let all = std::mem::take(&mut self.all);
        let mut ended = Vec::new();
        let _entered = match Handle::try_current() {
            Ok(_) => None,
            Err(_) => Some(self.context.get_or_insert_with(context).enter()),
        };
        for (number, mut under_way) in all {
            let mut context = Context::from_waker(Waker::noop());
            match under_way.future.as_mut().poll(&mut context) {
                Poll::Ready(input) => ended.push(input),
                Poll::Pending => drop(self.all.insert(number, under_way)),
            }
        }
        ended
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.all.values().map(|under_way| under_way.deadline).min()
    }

    /// Ends the futures whose deadlines are up to `now`, as after `asynchronous_timeout`.
    pub(super) fn time_out(&mut self, now: Duration) -> Vec<In<E>> {
        let (late, rest) = std::mem::take(&mut self.all)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, under_way)| under_way.deadline <= now);
        self.all = rest.into_iter().collect();
        let late = late.into_iter();
        late.map(|(_, under_way)| {
            let UnderWay { future, failed, awaited, .. } = under_way;
            let failure = AsynchronousFailure::TimedOut { awaited: awaited.entity() };
            // an asker that waits for an answer from the future gets the reason
            refuse(future, ReplyError::Unanswered(failure.to_string()));
            failed(failure)
        })
        .collect()
    }

    /// Ends all futures as if they had panicked.
    pub(super) fn panic(&mut self) -> Vec<In<E>> {
        let all = std::mem::take(&mut self.all).into_values();
        all.map(|UnderWay { future, failed, .. }| {
            drop(future);
            failed(AsynchronousFailure::Panicked)
        })
        .collect()
    }

    /// Drops all futures: the entity has ended, or begins again.
    pub(super) fn forget(&mut self) {
        self.all.clear();
    }
}

impl<E: EventSourced> Drop for Futures<E> {
    fn drop(&mut self) {
        self.all.clear();
        if let Some(context) = self.context.take() {
            context.shutdown_background();
        }
    }
}

/// A runtime that nothing drives: its timers never fire.
fn context() -> Runtime {
    let built = Builder::new_current_thread().enable_time().build();
    built.expect("a runtime for the futures of the entity: the process has no room for one")
}
