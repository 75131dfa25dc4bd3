//! The forms of replication of a run: the replicas, the place and the role of each, and the roles
//! of the nodes.

use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::NodeSettings;
use antiphon_sharding::ReplicatedEntityProvider;

use crate::ledger::Ledger;

/// A replica, with its place and the role that it needs.
type Placed = (&'static str, &'static str, Option<&'static str>);

/// The replicas of a run, and the nodes that host them.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) places: Vec<&'static str>,
    replicas: Vec<Placed>,
    /// The number in its place from which a node hosts no shards.
    proxies_from: usize,
}

impl Form {
    /// A replica for each place, with stores of its own.
    pub(crate) fn each_place(places: &[&'static str]) -> Self {
        let replicas = places.iter().map(|place| (*place, *place, None)).collect();
        Self { places: places.to_vec(), replicas, proxies_from: usize::MAX }
    }

    /// Two replicas in one place, each on the nodes of its role.
    pub(crate) fn roles() -> Self {
        let replicas = vec![("A1", "A", Some("one")), ("A2", "A", Some("two"))];
        Self { places: vec!["A"], replicas, proxies_from: usize::MAX }
    }

    /// Two replicas on all nodes of one place, but a third node that hosts no shards.
    pub(crate) fn replica_qualified() -> Self {
        let replicas = vec![("A1", "A", None), ("A2", "A", None)];
        Self { places: vec!["A"], replicas, proxies_from: 2 }
    }

    /// Two replicas in one place by role, and one in another place.
    pub(crate) fn mixture() -> Self {
        let mut form = Self::roles();
        form.places.push("B");
        form.replicas.push(("B", "B", None));
        form
    }

    /// The form of a seed's run other than a replica for each place, which three seeds of eleven
    /// have; with it, the number of nodes of each place.
    pub(crate) fn of(seed: u64) -> Option<(Self, usize)> {
        match seed % 11 {
            1 => Some((Self::roles(), 3)),
            4 => Some((Self::replica_qualified(), 3)),
            7 => Some((Self::mixture(), 2)),
            _ => None,
        }
    }

    pub(crate) fn replicas(&self) -> Vec<ReplicaId> {
        self.replicas.iter().map(|(name, ..)| ReplicaId::new(name).expect("a name")).collect()
    }

    /// The number of a replica's place.
    pub(crate) fn place_of(&self, replica: &ReplicaId) -> usize {
        let (_, of, _) = self.placed(replica);
        self.places.iter().position(|place| *place == of).expect("a place of the run")
    }

    /// The role that a replica needs.
    pub(crate) fn role_of(&self, replica: &ReplicaId) -> Option<&'static str> {
        self.placed(replica).2
    }

    fn placed(&self, replica: &ReplicaId) -> Placed {
        let found = self.replicas.iter().find(|(name, ..)| *name == replica.as_str());
        *found.expect("a replica of the run")
    }

    /// Sets the roles of the node with this number in its place: the first has the first role of
    /// the place, the second the second one, and further nodes have all of them.
    pub(crate) fn set_roles(&self, number: usize, settings: &mut NodeSettings) {
        let of_place = self.replicas.iter().filter(|(_, place, _)| *place == settings.place);
        let roles: Vec<String> =
            of_place.filter_map(|(.., role)| role.map(str::to_owned)).collect();
        settings.roles = match roles.get(number) {
            Some(role) => vec![role.clone()],
            None => roles,
        };
        settings.proxy_only = number >= self.proxies_from;
    }

    /// Says the places of the replicas, and their roles unless the node ignores roles, as nodes of
    /// earlier versions do.
    pub(crate) fn place(
        &self,
        mut provider: ReplicatedEntityProvider<Ledger>,
        ignores_roles: bool,
    ) -> ReplicatedEntityProvider<Ledger> {
        for (replica, (_, place, role)) in self.replicas().into_iter().zip(&self.replicas) {
            provider = provider.with_replica_place(replica.clone(), place);
            if let Some(role) = role.filter(|_| !ignores_roles) {
                provider = provider.with_replica_role(replica, role);
            }
        }
        provider
    }
}
