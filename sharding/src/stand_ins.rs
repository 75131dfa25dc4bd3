//! Stand-ins for other entities in the tests of a behaviour: `entity_ref` finds them.

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, Result};
use antiphon_persistence::entity::testkit::{EntityTest, Outgoing};
use antiphon_persistence::entity::{CommandContext, EventSourced};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::reply::Claim;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::entity_ref::CommandPort;
use crate::round_trip::as_between_nodes;
use crate::{EntityRef, ShardingSettings};

/// Gives an entity under test stand-ins for the entities that it reaches.
///
/// ```
/// # use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext};
/// # use antiphon_persistence::entity::EventSourced;
/// # use antiphon_persistence::reply::ReplyTo;
/// use antiphon_persistence::entity::testkit::{Did, EntityTest};
/// use antiphon_sharding::{EntityRefs, StandIns};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// enum StockCommand { Take { reply_to: ReplyTo<bool> } }
/// #[derive(Debug, Serialize, Deserialize)]
/// enum CartCommand { Add(String), #[serde(skip)] Taken(String, bool) }
/// struct Cart;
///
/// impl EventSourced for Cart {
///     type Command = CartCommand;
///     type Event = String;
///     type State = Vec<String>;
///     # fn on_event(&self, _: &EventContext, items: &mut Vec<String>, item: &String) {
///     #     items.push(item.clone());
///     # }
///
///     fn on_command(
///         &self, context: &CommandContext, _: &Vec<String>, command: CartCommand,
///     ) -> Effect<Self> {
///         match command {
///             CartCommand::Add(item) => {
///                 let stock = context.entity_ref::<StockCommand>("stock", &item).unwrap();
///                 self.asynchronous(async move {
///                     let take = |reply_to| StockCommand::Take { reply_to };
///                     CartCommand::Taken(item, stock.ask(take).await.unwrap_or(false))
///                 })
///             }
///             CartCommand::Taken(item, true) => self.persist(item),
///             CartCommand::Taken(..) => self.none(),
///         }
///     }
/// }
///
/// let cart = EntityTest::new(Cart, "cart|c-1");
/// let mut cart = cart.with_entity::<StockCommand>("stock", |stock, command| match command {
///     StockCommand::Take { reply_to } => reply_to.reply(&**stock.entity_id() == "pen"),
/// });
/// cart.tell(CartCommand::Add("pen".into()));
/// let asked = Did::Asked("stock|pen".into());
/// assert_eq!(cart.effects(), [Did::AsynchronousBegun, asked, Did::Persisted(1)]);
/// cart.tell(CartCommand::Add("ink".into()));
/// assert_eq!(cart.state(), &["pen"]);
/// ```
pub trait StandIns: Sized {
    /// Answers the commands for entities of a type, whose commands are `C`. The function gets the
    /// replication id of the entity that is meant, which has the replica id of the asking entity,
    /// and is called at once. An error is an answer too: `reply_to.fail(ReplyError::Timeout)`. A
    /// `ReplyTo` that is kept can be answered later: the future that waits for the answer goes on
    /// with the next input, or with `run_futures`. In debug builds, commands and answers go
    /// through the codec.
    ///
    /// # Panics
    /// Panics when the entity has started, or the type has a stand-in.
    #[must_use]
    fn with_entity<C>(
        self,
        entity_type: &str,
        stand_in: impl FnMut(&ReplicationId, C) + Send + 'static,
    ) -> Self
    where
        C: Serialize + DeserializeOwned + Send + 'static;
}

impl<E: EventSourced> StandIns for EntityTest<E> {
    #[track_caller]
    fn with_entity<C>(
        self,
        entity_type: &str,
        stand_in: impl FnMut(&ReplicationId, C) + Send + 'static,
    ) -> Self
    where
        C: Serialize + DeserializeOwned + Send + 'static,
    {
        let mut all = self.extension::<StandInTypes>().cloned().unwrap_or_default();
        let stand_in: Function<C> = Box::new(stand_in);
        let call: Call<C> = Arc::new(Mutex::new(Some(stand_in)));
        let of_type: Arc<dyn OfType> = Arc::new(StandIn { call });
        let before = all.0.insert(entity_type.into(), of_type);
        assert!(before.is_none(), "`with_entity`: entity type `{entity_type}` has a stand-in");
        self.with_extension(all)
    }
}

/// The stand-ins of a test, by entity type.
#[derive(Clone, Default)]
pub(crate) struct StandInTypes(BTreeMap<Arc<str>, Arc<dyn OfType>>);

impl StandInTypes {
    /// An `EntityRef` to a stand-in, and the name of the type of its commands.
    ///
    /// # Errors
    /// `Unavailable` when the type has no stand-in; `Rejected` for an entity id that is not
    /// allowed.
    pub(crate) fn find(
        &self,
        context: &CommandContext,
        entity_type: &str,
        entity_id: &str,
        replica: &ReplicaId,
    ) -> Result<(Box<dyn Any>, &'static str)> {
        let Some(of_type) = self.0.get(entity_type) else {
            let known: Vec<_> = self.0.keys().collect();
            return Err(Error::unavailable(format!(
                "entity type `{entity_type}`: expected one of {known:?}; give the test a stand-in: `with_entity::<Command>({entity_type:?}, |id, command| ..)`"
            )));
        };
        let id = ReplicationId::new(entity_type, entity_id, replica.clone())?;
        let outgoing = context.extension::<Outgoing>().cloned();
        Ok((of_type.refer(id, outgoing), of_type.command_type()))
    }
}

/// The stand-in of one type, without the type of its commands.
trait OfType: Send + Sync {
    fn command_type(&self) -> &'static str;
    fn refer(&self, id: ReplicationId, outgoing: Option<Outgoing>) -> Box<dyn Any>;
}

/// The function of the test; `None` while it runs.
type Call<C> = Arc<Mutex<Option<Function<C>>>>;

/// The function of a test.
type Function<C> = Box<dyn FnMut(&ReplicationId, C) + Send>;

struct StandIn<C> {
    call: Call<C>,
}

impl<C: Serialize + DeserializeOwned + Send + 'static> OfType for StandIn<C> {
    fn command_type(&self) -> &'static str {
        type_name::<C>()
    }

    fn refer(&self, id: ReplicationId, outgoing: Option<Outgoing>) -> Box<dyn Any> {
        let port = Port { id: id.clone(), call: self.call.clone(), outgoing };
        let ask_timeout = ShardingSettings::default().ask_timeout;
        Box::new(EntityRef::<C>::new(id, Arc::new(port), ask_timeout))
    }
}

/// Hands the commands for one entity to the function of the test.
struct Port<C> {
    id: ReplicationId,
    call: Call<C>,
    outgoing: Option<Outgoing>,
}

impl<C: Serialize + DeserializeOwned + Send + 'static> CommandPort<C> for Port<C> {
    fn index(&self, _: &ReplicaId, _: &str) -> Option<usize> {
        Some(0)
    }

    fn tell(&self, now: Instant, _: usize, _: &Arc<str>, command: C, claim: Claim) {
        if let Some(outgoing) = &self.outgoing {
            // an ask waits for a time, and a tell does not
            match claim.time_left(now) {
                Some(_) => outgoing.asked(&self.id),
                None => outgoing.told(&self.id),
            }
        }
        if !claim.take(now) {
            return;
        }
        if let Some(notice) = claim.take_notice() {
            notice(Ok(()));
        }
        let Some(command) = as_between_nodes(command, &claim) else { return };
        // the application's function is not called under the lock
        let call = self.call.lock().take();
        let Some(mut call) = call else {
            panic!(
                "the stand-in of `{}` sends a command to an entity of its own type: answer in it, and send nothing",
                self.id
            );
        };
        call(&self.id, command);
        *self.call.lock() = Some(call);
    }

    fn now(&self) -> Instant {
        SystemClock.now()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use antiphon_base::ErrorKind;
    use antiphon_persistence::entity::testkit::Did;
    use antiphon_persistence::entity::{Effect, Effects, EventContext};
    use antiphon_persistence::reply::{ReplyError, ReplyTo};
    use serde::Deserialize;

    use super::*;
    use crate::EntityRefs;

    #[derive(Debug, Serialize, Deserialize)]
    enum Bank {
        Pay(ReplyTo<u32>),
    }

    #[derive(Debug, Serialize, Deserialize)]
    enum Command {
        Pay(String, ReplyTo<u32>),
        /// Answers with the error of a reference to a bank, whose commands are said to be numbers.
        Wrong(String, ReplyTo<String>),
        /// The last one: bincode counts a skipped variant when it writes, not when it reads.
        #[serde(skip)]
        Paid(std::result::Result<u32, ReplyError>, ReplyTo<u32>),
    }

    struct Account;

    impl EventSourced for Account {
        type Command = Command;
        type Event = u32;
        type State = u32;

        fn on_command(&self, context: &CommandContext, _: &u32, command: Command) -> Effect<Self> {
            match command {
                Command::Pay(bank, reply_to) => {
                    let bank = context.entity_ref::<Bank>("bank", &bank).unwrap();
                    self.asynchronous(
                        async move { Command::Paid(bank.ask(Bank::Pay).await, reply_to) },
                    )
                }
                Command::Paid(Ok(cents), reply_to) => {
                    self.persist(cents).then_reply(reply_to, |sum| *sum)
                }
                Command::Paid(Err(error), reply_to) => {
                    reply_to.fail(error);
                    self.none()
                }
                Command::Wrong(entity_type, reply_to) => {
                    let wrong = context.entity_ref::<u64>(&entity_type, "b").unwrap_err();
                    self.reply(reply_to, format!("{:?}: {wrong}", wrong.kind()))
                }
            }
        }

        fn on_event(&self, _: &EventContext, sum: &mut u32, cents: &u32) {
            *sum += cents;
        }
    }

    fn pay(reply_to: ReplyTo<u32>) -> Command {
        Command::Pay("b".to_owned(), reply_to)
    }

    #[test]
    fn a_stand_in_that_keeps_its_reply_to_answers_when_the_test_says_so() {
        let (sender, kept) = mpsc::channel();
        let account = EntityTest::new(Account, "account|a-1|DC-A");
        let mut account =
            account.with_entity::<Bank>("bank", move |_, Bank::Pay(to)| sender.send(to).unwrap());
        let mut paid = account.begin_ask(pay);
        assert_eq!(account.effects(), [Did::AsynchronousBegun, Did::Asked("bank|b|DC-A".into())]);
        assert_eq!(paid.answer(), None);
        kept.recv().unwrap().reply(5);
        account.run_futures();
        assert_eq!((paid.answer(), account.state()), (Some(Ok(5)), &5));

        let mut refused = account.begin_ask(pay);
        kept.recv().unwrap().fail(ReplyError::Timeout);
        account.run_futures();
        assert_eq!(refused.answer(), Some(Err(ReplyError::Timeout)));
    }

    #[test]
    fn a_type_without_a_stand_in_and_a_wrong_command_say_what_to_do() {
        let account = EntityTest::new(Account, "account|a-1");
        let mut account = account.with_entity::<Bank>("bank", |_, Bank::Pay(to)| to.reply(1));
        let mut wrong = |name: &str| account.ask(|to| Command::Wrong(name.to_owned(), to)).unwrap();
        let unknown = wrong("stock");
        assert!(unknown.starts_with(&format!("{:?}", ErrorKind::Unavailable)), "{unknown}");
        assert!(unknown.contains("expected one of [\"bank\"]"), "{unknown}");
        assert!(unknown.contains("with_entity::<Command>(\"stock\""), "{unknown}");
        let other = wrong("bank");
        assert!(other.contains("tests::Bank`, actual `u64`"), "{other}");
    }
}
