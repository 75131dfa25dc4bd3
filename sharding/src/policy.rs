//! The choice of a replica for a caller that names none.

use antiphon_persistence::identity::ReplicaId;

/// The rule that chooses a replica for a caller that names none.
///
/// ```
/// # use antiphon_persistence::entity::EventSourced;
/// # use serde::{Serialize, de::DeserializeOwned};
/// use antiphon_base::Result;
/// use antiphon_sharding::{EntityRef, ReplicatedSharding, RoutingPolicy};
///
/// fn basket_of<E: EventSourced>(
///     baskets: &ReplicatedSharding<E>,
///     user: &str,
/// ) -> Result<EntityRef<E::Command>>
/// # where E::Command: Serialize + DeserializeOwned
/// {
///     // one user always uses the same replica, and sees his own writes
///     baskets.route(user, &RoutingPolicy::Sticky(user.to_owned()))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RoutingPolicy {
    /// The replica of this node's place, and of its role if the place has several, reachable or
    /// not; the first replica if the place has none.
    Nearest,
    /// The same replica for the same text (a session or a user), so that a user sees his own
    /// writes.
    Sticky(String),
    /// The nearest replica that can be reached now: another place takes over when this one is down.
    #[default]
    FailOver,
}

impl RoutingPolicy {
    /// Chooses one of `replicas`, which are sorted and not empty. Those of `near` come first, in
    /// their order, except under `Sticky`.
    pub(crate) fn choose<'a>(
        &self,
        replicas: &'a [ReplicaId],
        near: &'a [ReplicaId],
        is_reachable: impl Fn(&ReplicaId) -> bool,
    ) -> &'a ReplicaId {
        let first = near.first().unwrap_or(&replicas[0]);
        match self {
            Self::Nearest => first,
            Self::Sticky(text) => {
                let slice = antiphon_persistence::identity::Slice::of("sticky", text);
                &replicas[usize::from(slice.number()) % replicas.len()]
            }
            Self::FailOver => {
                near.iter().chain(replicas).find(|replica| is_reachable(replica)).unwrap_or(first)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_over_prefers_the_nearest_that_can_be_reached() {
        let replicas = ["A", "B", "C"].map(|name| ReplicaId::new(name).unwrap());
        let [a, b, c] = &replicas;
        let policy = RoutingPolicy::FailOver;
        let near = [b.clone()];
        assert_eq!(policy.choose(&replicas, &near, |_| true), b);
        assert_eq!(policy.choose(&replicas, &near, |replica| replica != b), a);
        assert_eq!(policy.choose(&replicas, &near, |_| false), b);
        assert_eq!(RoutingPolicy::Nearest.choose(&replicas, &[], |_| false), a);
        let near = [c.clone(), b.clone()];
        assert_eq!(policy.choose(&replicas, &near, |replica| replica != c), b, "the same place");
    }

    #[test]
    fn sticky_sends_the_same_text_to_the_same_replica_and_spreads_others() {
        let replicas = ["A", "B"].map(|name| ReplicaId::new(name).unwrap());
        let of = |text: &str| {
            RoutingPolicy::Sticky(text.to_owned()).choose(&replicas, &[], |_| true).clone()
        };
        assert_eq!(of("user-1"), of("user-1"));
        let chosen: std::collections::BTreeSet<_> = (0..50).map(|n| of(&format!("u{n}"))).collect();
        assert_eq!(chosen.len(), 2);
    }
}
