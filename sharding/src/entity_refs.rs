//! References to entities of other types from within a handler. The types of a node are looked up
//! late, by name, so that types can need each other.

use std::any::{Any, type_name};
use std::sync::{Arc, Weak};

use antiphon_base::text::foreign;
use antiphon_base::{Error, Result};
use antiphon_persistence::entity::CommandContext;
use antiphon_persistence::identity::ReplicaId;

use crate::EntityRef;
use crate::registry::Registry;
use crate::stand_ins::StandInTypes;

/// The entity types of the node that runs an entity, as an extension of its context.
pub(crate) struct NodeTypes(Weak<Registry>);

impl NodeTypes {
    pub(crate) fn of(registry: &Arc<Registry>) -> Self {
        Self(Arc::downgrade(registry))
    }
}

/// Makes references to other entities, of any type that was started on this node.
///
/// ```
/// # use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
/// # use antiphon_persistence::reply::ReplyTo;
/// use antiphon_sharding::EntityRefs;
///
/// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
/// enum StockCommand { Take { reply_to: ReplyTo<bool> } }
/// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
/// enum CartCommand { Add { item: String }, Taken { item: String, is_there: bool } }
/// struct Cart;
/// # impl EventSourced for Cart {
/// #     type Command = CartCommand;
/// #     type Event = String;
/// #     type State = Vec<String>;
/// #     fn on_event(&self, _: &EventContext, items: &mut Vec<String>, item: &String) {
/// #         items.push(item.clone());
/// #     }
///     fn on_command(
///         &self,
///         context: &CommandContext,
///         _: &Vec<String>,
///         command: CartCommand,
///     ) -> Effect<Self> {
///         match command {
///             CartCommand::Add { item } => {
///                 let stock = context.entity_ref::<StockCommand>("stock", &item);
///                 Effect::asynchronous(async move {
///                     let is_there = match stock {
///                         Ok(stock) => {
///                             stock.ask(|reply_to| StockCommand::Take { reply_to }).await
///                         }
///                         Err(error) => panic!("no stock: {error}"),
///                     };
///                     CartCommand::Taken { item, is_there: is_there.unwrap_or(false) }
///                 })
///             }
///             CartCommand::Taken { item, is_there: true } => Effect::persist(item),
///             CartCommand::Taken { .. } => Effect::none(),
///         }
///     }
/// # }
/// ```
pub trait EntityRefs {
    /// The reference to an entity of another type, or of the same type. `C` is the type of its
    /// commands. The reference is to the replica with the id of this entity's replica; if the other
    /// type has no such replica, to the one that [`RoutingPolicy::default`] chooses.
    ///
    /// The types are looked up at each call, so the order in which the types of a node are started
    /// does not matter. A command that is told from within a handler is sent at once, before the
    /// events of the handler's own command are durable: use `then_run` for a command that must
    /// follow from them.
    ///
    /// [`RoutingPolicy::default`]: crate::RoutingPolicy
    ///
    /// # Errors
    /// `Rejected` when the entity id is not allowed, the type's commands are of another type than
    /// `C`, or no sharding runs this entity. `Unavailable` when the type was not started on this
    /// node, or the node has ended.
    fn entity_ref<C: Send + 'static>(
        &self,
        entity_type: &str,
        entity_id: impl AsRef<str>,
    ) -> Result<EntityRef<C>>;

    /// The same for a certain replica.
    ///
    /// # Errors
    /// As for [`Self::entity_ref`]; also `Rejected` when the type has no such replica.
    fn entity_ref_at<C: Send + 'static>(
        &self,
        entity_type: &str,
        entity_id: impl AsRef<str>,
        replica: &ReplicaId,
    ) -> Result<EntityRef<C>>;
}

impl EntityRefs for CommandContext {
    fn entity_ref<C: Send + 'static>(
        &self,
        entity_type: &str,
        entity_id: impl AsRef<str>,
    ) -> Result<EntityRef<C>> {
        find(self, entity_type, entity_id.as_ref(), self.replica_id(), false)
    }

    fn entity_ref_at<C: Send + 'static>(
        &self,
        entity_type: &str,
        entity_id: impl AsRef<str>,
        replica: &ReplicaId,
    ) -> Result<EntityRef<C>> {
        find(self, entity_type, entity_id.as_ref(), replica, true)
    }
}

fn find<C: Send + 'static>(
    context: &CommandContext,
    entity_type: &str,
    entity_id: &str,
    replica: &ReplicaId,
    exactly: bool,
) -> Result<EntityRef<C>> {
    if let Some(stand_ins) = context.extension::<StandInTypes>() {
        let (reference, command_type) = stand_ins.find(context, entity_type, entity_id, replica)?;
        return of_type(reference, entity_type, command_type);
    }
    let Some(types) = context.extension::<NodeTypes>() else {
        return Err(Error::rejected(format!(
            "`entity_ref` in `{}`: expected an entity that `ReplicatedSharding::init` started, or a test with a stand-in (`with_entity`)",
            context.replication_id()
        )));
    };
    let Some(registry) = types.0.upgrade() else {
        return Err(Error::unavailable("`entity_ref`: the node has ended"));
    };
    let Some(region) = registry.get(entity_type) else {
        let known: Vec<_> = registry.all().into_keys().collect();
        return Err(Error::unavailable(format!(
            "entity type `{}`: expected one of {known:?}; start the type on this node with `ReplicatedSharding::init`",
            foreign(entity_type)
        )));
    };
    let command_type = region.command_type();
    let reference = region.refer(entity_id, replica, exactly)?;
    of_type(reference, entity_type, command_type)
}

/// The reference, when its commands are of type `C`.
fn of_type<C: Send + 'static>(
    reference: Box<dyn Any>,
    entity_type: &str,
    command_type: &str,
) -> Result<EntityRef<C>> {
    reference.downcast().map(|reference| *reference).map_err(|_| {
        Error::rejected(format!(
            "commands of entity type `{entity_type}`: expected `{command_type}`, actual `{}`",
            type_name::<C>()
        ))
    })
}
