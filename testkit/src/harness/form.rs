//! The forms of replication of a run: the replicas, the place and the role of each, and the roles
//! of the nodes.

use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::NodeSettings;
use antiphon_sharding::ReplicatedEntityProvider;

/// A replica, with its place and the role that it needs.
#[derive(Debug, Clone)]
struct Placed {
    name: String,
    place: String,
    role: Option<String>,
}

fn placed(name: &str, place: &str, role: Option<&str>) -> Placed {
    Placed { name: name.to_owned(), place: place.to_owned(), role: role.map(str::to_owned) }
}

/// The replicas of a run, and the nodes that host them.
#[derive(Debug, Clone)]
pub struct Form {
    pub places: Vec<String>,
    replicas: Vec<Placed>,
    /// The number in its place from which a node hosts no shards.
    proxies_from: usize,
}

impl Form {
    /// A replica for each place, with stores of its own.
    pub fn each_place(places: &[impl AsRef<str>]) -> Self {
        let places: Vec<String> = places.iter().map(|place| place.as_ref().to_owned()).collect();
        let replicas = places.iter().map(|place| placed(place, place, None)).collect();
        Self { places, replicas, proxies_from: usize::MAX }
    }

    /// Two replicas in one place, each on the nodes of its role.
    pub fn roles() -> Self {
        let replicas = vec![placed("A1", "A", Some("one")), placed("A2", "A", Some("two"))];
        Self { places: vec!["A".to_owned()], replicas, proxies_from: usize::MAX }
    }

    /// Two replicas on all nodes of one place, but a third node that hosts no shards.
    pub fn replica_qualified() -> Self {
        let replicas = vec![placed("A1", "A", None), placed("A2", "A", None)];
        Self { places: vec!["A".to_owned()], replicas, proxies_from: 2 }
    }

    /// Two replicas in one place by role, and one in another place.
    pub fn mixture() -> Self {
        let mut form = Self::roles();
        form.places.push("B".to_owned());
        form.replicas.push(placed("B", "B", None));
        form
    }

    /// The form of a seed's run other than a replica for each place, which three seeds of eleven
    /// have; with it, the number of nodes of each place.
    pub fn of(seed: u64) -> Option<(Self, usize)> {
        match seed % 11 {
            1 => Some((Self::roles(), 3)),
            4 => Some((Self::replica_qualified(), 3)),
            7 => Some((Self::mixture(), 2)),
            _ => None,
        }
    }

    pub fn replicas(&self) -> Vec<ReplicaId> {
        let name = |replica: &Placed| ReplicaId::new(&replica.name).expect("a name");
        self.replicas.iter().map(name).collect()
    }

    /// The number of a replica's place.
    pub fn place_of(&self, replica: &ReplicaId) -> usize {
        let of = &self.placed(replica).place;
        self.places.iter().position(|place| place == of).expect("a place of the run")
    }

    /// The role that a replica needs.
    pub fn role_of(&self, replica: &ReplicaId) -> Option<&str> {
        self.placed(replica).role.as_deref()
    }

    fn placed(&self, replica: &ReplicaId) -> &Placed {
        let found = self.replicas.iter().find(|placed| placed.name == replica.as_str());
        found.expect("a replica of the run")
    }

    /// Sets the roles of the node with this number in its place: the first has the first role of
    /// the place, the second the second one, and further nodes have all of them.
    pub fn set_roles(&self, number: usize, settings: &mut NodeSettings) {
        let of_place = self.replicas.iter().filter(|placed| placed.place == settings.place);
        let roles: Vec<String> = of_place.filter_map(|placed| placed.role.clone()).collect();
        settings.roles = match roles.get(number) {
            Some(role) => vec![role.clone()],
            None => roles,
        };
        settings.proxy_only = number >= self.proxies_from;
    }

    /// Says the places of the replicas, and their roles unless the node ignores roles, as nodes of
    /// earlier versions do.
    pub fn place<E: EventSourced>(
        &self,
        mut provider: ReplicatedEntityProvider<E>,
        ignores_roles: bool,
    ) -> ReplicatedEntityProvider<E> {
        for (replica, placed) in self.replicas().into_iter().zip(&self.replicas) {
            provider = provider.with_replica_place(replica.clone(), &placed.place);
            if let Some(role) = placed.role.as_ref().filter(|_| !ignores_roles) {
                provider = provider.with_replica_role(replica, role);
            }
        }
        provider
    }
}
