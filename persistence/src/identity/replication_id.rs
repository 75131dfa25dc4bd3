//! The identity of one replica of one entity.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::names::{self, SEPARATOR};
use super::{PersistenceId, ReplicaId, Slice};
use crate::{Error, Result};

/// Entity type, entity id and replica id.
///
/// Text form: `type|entity|replica`, or `type|entity` when the replica is
/// [empty](ReplicaId::empty).
///
/// ```
/// use antiphon_persistence::identity::{ReplicaId, ReplicationId};
///
/// let here = ReplicationId::new("cart", "c-1", ReplicaId::new("DC-A")?)?;
/// assert_eq!(here.to_string(), "cart|c-1|DC-A");
/// let there = here.with_replica(ReplicaId::new("DC-B")?);
/// assert_eq!(there, ReplicationId::parse("cart|c-1|DC-B")?);
/// assert_eq!(here.slice(), there.slice());
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "PersistenceId", into = "PersistenceId")]
pub struct ReplicationId {
    entity_type: Arc<str>,
    entity_id: Arc<str>,
    replica_id: ReplicaId,
}

impl ReplicationId {
    /// The replica `replica_id` of the entity.
    ///
    /// # Errors
    /// `Rejected` when the type or the entity id is empty, contains `|` or a control character, or
    /// is over [`NAME_BYTES_MAX`](super::NAME_BYTES_MAX).
    pub fn new(
        entity_type: impl AsRef<str>,
        entity_id: impl AsRef<str>,
        replica_id: ReplicaId,
    ) -> Result<Self> {
        names::check_entity(entity_type.as_ref(), entity_id.as_ref())?;
        Ok(Self {
            entity_type: entity_type.as_ref().into(),
            entity_id: entity_id.as_ref().into(),
            replica_id,
        })
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// `Rejected` when the text does not have two or three parts, or when a part is not allowed.
    pub fn parse(text: &str) -> Result<Self> {
        let (entity_type, entity_id, replica) = names::parts(text)?;
        let replica_id = replica.map_or_else(|| Ok(ReplicaId::empty()), ReplicaId::new)?;
        Ok(Self { entity_type: entity_type.into(), entity_id: entity_id.into(), replica_id })
    }

    /// The type of the entity.
    pub fn entity_type(&self) -> &Arc<str> {
        &self.entity_type
    }

    /// The id of the entity, the same at every replica.
    pub fn entity_id(&self) -> &Arc<str> {
        &self.entity_id
    }

    /// The replica.
    pub fn replica_id(&self) -> &ReplicaId {
        &self.replica_id
    }

    /// The same entity at another replica.
    #[must_use]
    pub fn with_replica(&self, replica_id: ReplicaId) -> Self {
        Self { replica_id, ..self.clone() }
    }

    /// The key of this replica's stream.
    pub fn persistence_id(&self) -> PersistenceId {
        PersistenceId::from_checked(self.to_string())
    }

    /// The slice of the entity, the same at every replica.
    pub fn slice(&self) -> Slice {
        Slice::of(&self.entity_type, &self.entity_id)
    }

    /// The designated replica of the entity, of these sorted ones: the one that does what must be
    /// done at one replica only. It follows from the slice, is the same wherever it is asked, and
    /// spreads entities evenly. `None` when there are no replicas. A change of the list designates
    /// other replicas.
    ///
    /// ```
    /// use antiphon_persistence::identity::{ReplicaId, ReplicationId};
    ///
    /// let replicas = [ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?];
    /// let here = ReplicationId::parse("cart|c-1|DC-A")?;
    /// let there = here.with_replica(replicas[1].clone());
    /// assert_eq!(here.designated(&replicas), there.designated(&replicas));
    /// assert_eq!(here.designated(&[]), None);
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    pub fn designated<'a>(&self, replicas: &'a [ReplicaId]) -> Option<&'a ReplicaId> {
        let index = usize::from(self.slice().number()).checked_rem(replicas.len())?;
        replicas.get(index)
    }
}

impl fmt::Display for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SEPARATOR}{}", self.entity_type, self.entity_id)?;
        if self.replica_id.is_empty() {
            return Ok(());
        }
        write!(f, "{SEPARATOR}{}", self.replica_id)
    }
}

impl TryFrom<PersistenceId> for ReplicationId {
    type Error = Error;

    fn try_from(id: PersistenceId) -> Result<Self> {
        Self::parse(id.as_str())
    }
}

impl From<ReplicationId> for PersistenceId {
    fn from(id: ReplicationId) -> Self {
        id.persistence_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_leaves_the_empty_replica_out() {
        let replicated =
            ReplicationId::new("cart", "c-1", ReplicaId::new("DC-A").unwrap()).unwrap();
        let original = replicated.with_replica(ReplicaId::empty());

        assert_eq!(replicated.to_string(), "cart|c-1|DC-A");
        assert_eq!(original.to_string(), "cart|c-1");
        assert_eq!(ReplicationId::parse("cart|c-1|DC-A").unwrap(), replicated);
        assert_eq!(ReplicationId::parse("cart|c-1").unwrap(), original);
    }

    #[test]
    fn the_designated_replica_of_an_entity_never_changes_and_each_replica_is_one() {
        let replicas = ["A", "B", "C"].map(|name| ReplicaId::new(name).unwrap());
        let of = |number| {
            let id = ReplicationId::new("auction", format!("a-{number}"), ReplicaId::empty());
            id.unwrap().designated(&replicas).unwrap().as_str()
        };
        // the slice of `a-200` is 229
        assert_eq!(of(200), "B");
        let all: std::collections::BTreeSet<_> = (0..50).map(of).collect();
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn ids_with_a_wrong_part_are_refused_with_the_part_named() {
        for (text, part) in [
            ("cart", "persistence id"),
            ("a|b|c|d", "persistence id"),
            ("|b", "entity type"),
            ("a|", "entity id"),
            ("a|b|", "replica id"),
            ("a|b\n", "entity id"),
        ] {
            let message = ReplicationId::parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text:?}: {message}");
        }
        let message = ReplicationId::new("a|b", "c", ReplicaId::empty()).unwrap_err().to_string();
        assert!(message.contains("entity type `a|b`"), "{message}");
    }
}
