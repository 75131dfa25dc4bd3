//! The home of an entity: the one replica that decides for it.
//!
//! Two places that each sell the last piece sell it twice. So every command of a cart or a stock is
//! decided at one replica, which is chosen from the id; the others pass commands on to it, and have
//! a copy for reading. While the place of a home is away, its carts and stocks take no commands.
//! A change of the list of places moves homes: stop the shop for it.

use antiphon::prelude::*;

/// The home of an entity, of these sorted replicas: the same at every replica, spread by the id.
pub fn home<'a>(replicas: &'a [ReplicaId], entity_type: &str, id: &str) -> &'a ReplicaId {
    let entity = ReplicationId::new(entity_type, id, ReplicaId::empty());
    let designated = entity.ok().and_then(|entity| entity.designated(replicas));
    // an id that is not allowed has no entity: nothing is decided for it
    designated.unwrap_or(&replicas[0])
}

/// A reference to an entity at its home.
///
/// # Errors
/// As `EntityRefs::entity_ref_at`: an id that is not allowed, or a type that is not on this node.
pub(crate) fn at_home<C: Send + 'static>(
    context: &CommandContext,
    entity_type: &str,
    id: &str,
) -> Result<EntityRef<C>> {
    context.entity_ref_at(entity_type, id, home(context.all_replicas(), entity_type, id))
}

/// Passes a command on from a replica that is not the home.
pub(crate) fn pass_on<E: EventSourced>(context: &CommandContext, command: E::Command) -> Effect<E> {
    let id = context.replication_id();
    match at_home(context, id.entity_type(), id.entity_id()) {
        // the home decides, so it has to know the repetitions
        Ok(at_home) => match context.request_id() {
            Some(request) => at_home.with_request_id(&request).tell(command),
            None => at_home.tell(command),
        },
        // the asker gets an error, since the command is dropped
        Err(_) => return Effect::unhandled(),
    }
    Effect::none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_one_of_the_replicas_and_both_are_somebodys_home() {
        let replicas = ["DC-A", "DC-B"].map(|name| ReplicaId::new(name).unwrap());
        let of = |id: &str| home(&replicas, "stock", id).as_str();
        assert_eq!([of("pen"), of("ink")], [of("pen"), of("ink")]);
        let homes: std::collections::BTreeSet<_> =
            (0..20).map(|number| of(&format!("item-{number}")).to_owned()).collect();
        assert_eq!(homes.len(), 2);
    }
}
