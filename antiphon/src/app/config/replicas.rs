//! The replicas of entity types whose provider names none: those of the table `replicas`, or one at
//! each place.

use std::sync::Arc;

use crate::base::bounds;
use crate::persistence::entity::EventSourced;
use crate::prelude::*;
use serde::{Deserialize, Serialize};

use super::Config;

/// Most replicas of an entity.
const REPLICAS_MAX: usize = 64;

/// A replica, and the nodes that host it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaConfig {
    /// The replica id; empty for the entities from the time before replication, with a `place`.
    pub name: String,
    /// The place of the replica; without it, the place that has the name of the replica.
    pub place: Option<String>,
    /// The role of the nodes of the place that host the replica; without it, all of them do.
    pub role: Option<String>,
}

impl ReplicaConfig {
    fn place(&self) -> &str {
        self.place.as_deref().unwrap_or(&self.name)
    }

    fn id(&self) -> Result<ReplicaId> {
        if self.name.is_empty() && self.place.is_none() {
            return Err(Error::rejected(
                "`replicas`: the replica \"\", that of a plain entity: expected a `place`, actual none",
            ));
        }
        ReplicaId::try_from(Arc::<str>::from(&*self.name))
            .map_err(|error| Error::new(error.kind(), format!("`replicas`: `name`: {error}")))
    }
}

impl Config {
    /// The replicas of entity types whose provider names none, sorted: those of `replicas`, or one
    /// at the own place and one at each of its peers.
    ///
    /// # Errors
    /// `Rejected` when the name of a replica or a place is not a valid replica id.
    pub fn replicas(&self) -> Result<Vec<ReplicaId>> {
        let mut replicas = if self.replicas.is_empty() {
            self.places().map(ReplicaId::new).collect::<Result<Vec<_>>>()?
        } else {
            self.replicas.iter().map(ReplicaConfig::id).collect::<Result<_>>()?
        };
        replicas.sort();
        Ok(replicas)
    }

    /// Returns whether a replica of [`Self::replicas`] is at the own place.
    pub(crate) fn is_here(&self, replica: &ReplicaId) -> bool {
        if self.replicas.is_empty() {
            return replica.as_str() == self.node.place;
        }
        let found = self.replicas.iter().find(|known| known.name == replica.as_str());
        found.is_some_and(|known| known.place() == self.node.place)
    }

    /// The place of a replica of [`Self::replicas`].
    pub(crate) fn place_of<'a>(&'a self, replica: &'a ReplicaId) -> Option<&'a str> {
        if self.replicas.is_empty() {
            return Some(replica.as_str());
        }
        let found = self.replicas.iter().find(|known| known.name == replica.as_str());
        found.map(ReplicaConfig::place)
    }

    /// Gives a provider that names no replicas those of this configuration. The places and the
    /// roles that the provider has for them stay.
    pub(crate) fn with_replicas<E: EventSourced>(
        &self,
        provider: ReplicatedEntityProvider<E>,
    ) -> Result<ReplicatedEntityProvider<E>> {
        if !provider.replicas().is_empty() {
            return Ok(provider);
        }
        let mut provider = provider.with_replicas(self.replicas()?);
        for replica in &self.replicas {
            let id = replica.id()?;
            if provider.replica_place(&id).is_none() {
                provider = provider.with_replica_place(id.clone(), replica.place());
            }
            if let Some(role) = &replica.role
                && provider.replica_role(&id).is_none()
            {
                provider = provider.with_replica_role(id, role);
            }
        }
        Ok(provider)
    }

    /// The own place and its peers.
    fn places(&self) -> impl Iterator<Item = &str> {
        self.peers.iter().map(|peer| &*peer.place).chain([&*self.node.place])
    }

    pub(super) fn check_replicas(&self) -> Result<()> {
        bounds::count("replicas", self.replicas.len(), 0..=REPLICAS_MAX)?;
        let refused = |name: &str, why: String| {
            Err(Error::rejected(format!("`replicas`: replica {name:?}: {why}")))
        };
        for (index, replica) in self.replicas.iter().enumerate() {
            let (name, place) = (&replica.name, replica.place());
            replica.id()?;
            if self.replicas[..index].iter().any(|other| other.name == *name) {
                return refused(name, "expected each name once, actual twice".into());
            }
            if !self.places().any(|known| known == place) {
                let known: Vec<&str> = self.places().collect();
                let expected = "expected the own place (`node.place`) or one of `peers`";
                let why = format!("`place`: {expected}, {known:?}, actual {place:?}");
                return refused(name, why);
            }
            if replica.role.as_deref() == Some("") {
                let expected = "expected a role of nodes (`node.roles`), actual an empty text";
                return refused(name, format!("`role`: {expected}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::{Known, parse};

    const ZONES: &str = "[node]\nplace = 'DC-A'\n[[replicas]]\nname = 'zone-1'\nplace = 'DC-A'\nrole = 'one'\n[[replicas]]\nname = 'DC-A'\n";

    fn read(text: &str) -> Result<Config> {
        parse(text, [], &Known::default())
    }

    #[test]
    fn replicas_are_at_the_place_that_they_name_or_whose_name_they_have() {
        let config = read(ZONES).unwrap();
        let [own, zone] = ["DC-A", "zone-1"].map(|name| ReplicaId::new(name).unwrap());
        assert_eq!(config.replicas().unwrap(), [own.clone(), zone.clone()]);
        assert!(config.is_here(&own) && config.is_here(&zone));
        let shown = toml::to_string(&config).unwrap();
        assert_eq!(read(&shown).unwrap().replicas, config.replicas);

        let one_at_each_place = read("[node]\nplace = 'DC-A'").unwrap();
        assert_eq!(one_at_each_place.replicas().unwrap(), [own]);
        assert!(!one_at_each_place.is_here(&zone));
    }

    #[test]
    fn places_and_roles_of_the_provider_come_before_those_of_the_configuration() {
        struct Sum;
        impl EventSourced for Sum {
            type Command = i64;
            type Event = i64;
            type State = i64;
            fn on_command(&self, _: &CommandContext, _: &i64, delta: i64) -> Effect<Self> {
                Effect::persist(delta)
            }
            fn on_event(&self, _: &EventContext, sum: &mut i64, delta: &i64) {
                *sum += delta;
            }
        }
        let [own, zone] = ["DC-A", "zone-1"].map(|name| ReplicaId::new(name).unwrap());
        let provider = ReplicatedEntityProvider::at_each_place("sum", |_: &ReplicationId| Sum)
            .with_replica_role(zone.clone(), "two")
            .with_replica_place(own.clone(), "DC-B");
        let provider = read(ZONES).unwrap().with_replicas(provider).unwrap();
        assert_eq!(provider.replica_role(&zone), Some("two"));
        assert_eq!(provider.replica_place(&zone), Some("DC-A"), "the provider says none");
        assert_eq!(provider.replica_place(&own), Some("DC-B"));
        assert_eq!(provider.replica_role(&own), None);
    }

    #[test]
    fn a_plain_entity_is_the_replica_with_the_empty_name_at_a_place() {
        let text = "[node]\nplace = 'DC-A'\n[[replicas]]\nname = ''\nplace = 'DC-A'\n[[replicas]]\nname = 'DC-A'\n";
        let config = read(text).unwrap();
        let own = ReplicaId::new("DC-A").unwrap();
        assert_eq!(config.replicas().unwrap(), [ReplicaId::empty(), own]);
        assert!(config.is_here(&ReplicaId::empty()));
        let shown = toml::to_string(&config).unwrap();
        assert_eq!(read(&shown).unwrap().replicas, config.replicas);
    }

    #[test]
    fn a_bad_replica_is_named_with_what_was_expected() {
        for (table, parts) in [
            ("name = 'zone-1'", vec!["\"zone-1\"", "`place`", "[\"DC-A\"]"]),
            ("name = 'x'\nplace = 'DC-B'", vec!["\"x\"", "`peers`", "\"DC-B\""]),
            ("name = 'DC-A'\nrole = ''", vec!["\"DC-A\"", "`role`", "empty"]),
            ("name = 'a|b'\nplace = 'DC-A'", vec!["`replicas`", "`name`", "a|b"]),
            ("name = 'DC-A'\n[[replicas]]\nname = 'DC-A'", vec!["\"DC-A\"", "twice"]),
            ("name = 'DC-A'\nrack = 'x'", vec!["rack"]),
            ("name = ''", vec!["plain entity", "`place`"]),
        ] {
            let text = format!("[node]\nplace = 'DC-A'\n[[replicas]]\n{table}");
            let message = read(&text).unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "{table}: {message}");
            }
        }
    }
}
