//! Singletons: one actor of a name at a time.
//!
//! - `core`: decides who holds the lease, and when the actor runs;
//! - `order`: the order of the members for a name;
//! - `shell`: the task that does what the cores ask; `store`: the rows of the leases;
//! - `held`: the actor under its lease; `proxy`: the way to it.

mod core;
mod held;
mod order;
mod proxy;
mod shell;
#[cfg(test)]
mod simulation;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use antiphon_runtime::Node;
use ractor::{Actor, ActorRef, ActorRuntime, Message};

use self::held::Held;
pub use self::held::SingletonLease;
pub use self::proxy::SingletonProxy;
use self::shell::{Reporter, Singletons};
use crate::{Receptionist, ServiceKey, ToolError};

/// Singletons: one ractor actor of a name at a time at a place.
///
/// The lease of a singleton is in the store of the place, so it is one of a *place*: no store is
/// common to two places, and neither may stop for the other. For one in the whole cluster, start
/// it at the nodes of one place only; [`SingletonProxy`] finds it from everywhere.
///
/// ```
/// use std::time::Duration;
///
/// use antiphon_cluster::{Singleton, SingletonLease, ToolError};
/// use antiphon_runtime::Node;
/// use ractor::{Actor, ActorProcessingErr, ActorRef, Message, RpcReplyPort};
///
/// struct Next(RpcReplyPort<(u64, u64)>);
/// impl Message for Next {}
///
/// /// Gives out pairs of numbers. No pair comes twice: each holder has a token of its own.
/// struct Numbers;
///
/// impl Actor for Numbers {
///     type Msg = Next;
///     type State = (SingletonLease, u64);
///     type Arguments = SingletonLease;
///
///     async fn pre_start(
///         &self,
///         _: ActorRef<Next>,
///         lease: SingletonLease,
///     ) -> Result<Self::State, ActorProcessingErr> {
///         Ok((lease, 0))
///     }
///
///     async fn handle(
///         &self,
///         _: ActorRef<Next>,
///         Next(reply): Next,
///         (lease, last): &mut Self::State,
///     ) -> Result<(), ActorProcessingErr> {
///         *last += 1;
///         reply.send((lease.token().0, *last))?;
///         Ok(())
///     }
/// }
///
/// async fn number(node: &Node) -> Result<(u64, u64), ToolError> {
///     let numbers = Singleton::start(node, "numbers", |lease| (Numbers, lease.clone()))?;
///     numbers.call(Duration::from_secs(10), Next).await
/// }
/// ```
pub struct Singleton;

impl Singleton {
    /// Lets this node take part in a singleton. `make` makes its actor, each time that this node
    /// starts it: when the node takes the lease, and after the actor has ended by itself, with
    /// waits that double from 100 ms up to `singleton_restart_delay_max`. An actor that is to end
    /// for good says so in its state, and does nothing.
    ///
    /// The singleton moves when its node leaves, at once; when its node is dead, as the shards of
    /// the node do; and when a member that comes earlier in the order of the name is up for
    /// `singleton_settle`. Before it moves, it has `singleton_stop_timeout` for the messages in its
    /// mailbox.
    ///
    /// # Errors
    /// [`ToolError::Key`] when the name has a form that no key has; [`ToolError::InUse`] when this
    /// node has started it already; [`ToolError::Full`] beyond `singletons_max`;
    /// [`ToolError::Leaving`] when the node leaves; and the errors of [`SingletonProxy::of`].
    pub fn start<A: Actor>(
        node: &Node,
        name: &str,
        make: impl Fn(&SingletonLease) -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Result<SingletonProxy<A::Msg>, ToolError> {
        let key = ServiceKey::<A::Msg>::of_tool("singleton", name)?;
        let proxy = SingletonProxy::of(node, name)?;
        let receptionist = Receptionist::of(node);
        let factory = move |lease: SingletonLease, reporter: Reporter| {
            let (actor, arguments) = make(&lease);
            let rank = lease.token().0;
            let held = Held { actor, lease };
            // without a name it cannot be refused
            let (actor, started) = ActorRuntime::spawn_instant(None, held, arguments).ok()?;
            let cell = actor.get_cell();
            let (receptionist, key) = (receptionist.clone(), key.clone());
            drop(task::spawn("singleton", async move {
                match started.await {
                    Ok(Ok(mut ended)) => {
                        tokio::select! {
                            _ = &mut ended => {}
                            () = be_found(&receptionist, &key, &actor, rank) => {
                                let _ = ended.await;
                            }
                        }
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(singleton = %key, %error, "a singleton does not start");
                    }
                    Err(error) => {
                        tracing::warn!(singleton = %key, %error, "a singleton does not start");
                    }
                }
                reporter.ended().await;
            }));
            Some(cell)
        };
        Singletons::of(node).add(&name.into(), Arc::new(factory))?;
        Ok(proxy)
    }
}

/// Time between two tries to register a singleton whose registration is refused: until then, its
/// proxies do not find it.
const REGISTER_INTERVAL: Duration = Duration::from_secs(1);

/// Registers the actor of a singleton, again and again until the receptionist has room.
async fn be_found<M: Message>(
    receptionist: &Receptionist,
    key: &ServiceKey<M>,
    actor: &ActorRef<M>,
    rank: u64,
) {
    let mut is_told = false;
    while let Err(error) = receptionist.register_ranked(key, actor, rank) {
        if !std::mem::replace(&mut is_told, true) {
            tracing::warn!(%error, "a singleton cannot be found: it is registered again and again");
        }
        tokio::time::sleep(REGISTER_INTERVAL).await;
    }
}
