//! The way of an entity to itself: a tell comes back through the mailbox.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::engine::{Queued, Slot};
use super::mailbox::Mailbox;
use super::message::EntityMessage;
use super::surroundings::{Address, Surroundings};
use super::{CommandContext, EntityCounters, EventSourced, TellError};
use crate::identity::ReplicationId;
use crate::reply::Claim;

/// The way of an entity to itself, for its side effects, futures and other tasks. Cheap to clone.
///
/// A reference belongs to one start of the entity. After the entity has stopped, for example
/// because it was passivated, every tell is refused, also when the entity runs again.
///
/// ```
/// # use antiphon_persistence::entity::testkit::EntityTest;
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// enum Command { Begin, Go(u32) }
/// struct Steps;
///
/// impl EventSourced for Steps {
///     type Command = Command;
///     type Event = u32;
///     type State = Vec<u32>;
///
///     fn on_command(
///         &self,
///         context: &CommandContext,
///         _: &Vec<u32>,
///         command: Command,
///     ) -> Effect<Self> {
///         let me = context.self_ref::<Self>();
///         match command {
///             // the second step is begun when the first one is durable
///             Command::Begin => Effect::persist(1).then_run(|_| (), move |()| {
///                 if let Err(refused) = me.tell(Command::Go(2)) {
///                     eprintln!("no second step: {refused}");
///                 }
///             }),
///             Command::Go(step) => Effect::persist(step),
///         }
///     }
///     # fn on_event(&self, _: &EventContext, steps: &mut Vec<u32>, step: &u32) {
///     #     steps.push(*step);
///     # }
/// }
///
/// let mut steps = EntityTest::local(Steps, "steps|s-1");
/// steps.tell(Command::Begin);
/// assert_eq!(steps.state(), &[1, 2]);
/// ```
pub struct SelfRef<E: EventSourced> {
    surroundings: Arc<Surroundings>,
    entity: PhantomData<fn(E)>,
}

impl<E: EventSourced> Clone for SelfRef<E> {
    fn clone(&self) -> Self {
        Self { surroundings: self.surroundings.clone(), entity: PhantomData }
    }
}

impl<E: EventSourced> fmt::Debug for SelfRef<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SelfRef({})", self.surroundings.id)
    }
}

impl<E: EventSourced> SelfRef<E> {
    /// The entity's type, id and replica.
    pub fn replication_id(&self) -> &ReplicationId {
        &self.surroundings.id
    }

    /// Puts a command into the mailbox of the entity, behind the commands that are there. It takes
    /// one of the `mailbox_max` places, as a command of any other sender. A command that was taken
    /// is dropped without being handled if the entity stops before its turn.
    ///
    /// # Errors
    /// `Full` or `Stopped`, with the command; it was not handled.
    pub fn tell(&self, command: E::Command) -> Result<(), TellError<E::Command>> {
        let kin = &self.surroundings.kin;
        match &self.surroundings.address {
            Address::Actor(actor, mailbox) => {
                let mailbox = mailbox.downcast_ref::<Mailbox<E::Command>>();
                let mailbox = mailbox.expect("`E` is the behaviour of this entity");
                let signs = &mailbox.signs;
                if signs.gone.load(Ordering::Acquire) {
                    return Err(TellError::Stopped(command));
                }
                let Some(slot) = Slot::take(&signs.taken, kin.mailbox_max) else {
                    EntityCounters::add(&kin.counters.commands_refused, 1);
                    return Err(TellError::Full(command));
                };
                let queued = Queued { command, slot, claim: Claim::unlimited() };
                let tell = || actor.send_message(EntityMessage::<E>::Commands).is_ok();
                mailbox.put(queued, tell).map_err(|left| TellError::Stopped(left.command))
            }
            Address::Queue(commands) => {
                let mut commands = commands.lock();
                if commands.len() >= kin.mailbox_max {
                    return Err(TellError::Full(command));
                }
                commands.push_back(Box::new(command));
                Ok(())
            }
            #[cfg(test)]
            Address::Nowhere => Err(TellError::Stopped(command)),
        }
    }
}

impl CommandContext {
    /// The way of this entity to itself. `E` is the behaviour: `context.self_ref::<Self>()`.
    ///
    /// A tell from within the handler is sent at once, before the events of the command are
    /// durable, and also when the command fails later. Use it in
    /// [`then_run`](super::Effect::then_run) for a command that must follow from the events.
    ///
    /// # Panics
    /// Panics when `E` is not the behaviour of this entity; the command fails then.
    pub fn self_ref<E: EventSourced>(&self) -> SelfRef<E> {
        let surroundings = self.common.surroundings().clone();
        if let Some(actual) = surroundings.kin.other_behaviour::<E>() {
            panic!("`self_ref`: expected `{actual}`, actual `{}`", type_name::<E>());
        }
        SelfRef { surroundings, entity: PhantomData }
    }

    /// A value of the application that the provider was given (`with_extension`), by its type.
    /// `None`: there is no such value.
    ///
    /// ```
    /// # use antiphon_persistence::entity::testkit::EntityTest;
    /// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
    /// # use antiphon_persistence::reply::ReplyTo;
    /// struct Prices { apple: u32 }
    /// struct Shop;
    /// # impl EventSourced for Shop {
    /// #     type Command = ReplyTo<u32>;
    /// #     type Event = ();
    /// #     type State = ();
    /// #     fn on_event(&self, _: &EventContext, _: &mut (), _: &()) {}
    ///     fn on_command(
    ///         &self,
    ///         context: &CommandContext,
    ///         _: &(),
    ///         reply_to: ReplyTo<u32>,
    ///     ) -> Effect<Self> {
    ///         let prices = context.extension::<Prices>().expect("the provider has the prices");
    ///         Effect::reply(reply_to, prices.apple)
    ///     }
    /// # }
    ///
    /// let mut shop = EntityTest::new(Shop, "shop|s-1").with_extension(Prices { apple: 3 });
    /// assert_eq!(shop.ask(|reply_to| reply_to), Ok(3));
    /// ```
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.common.surroundings().kin.extensions.get()
    }
}
