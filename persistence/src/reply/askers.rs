//! The entities that hold up their commands until a command is answered, so that a circle of asks is
//! refused at once and not after a time-out.
//!
//! The future of `Effect::asynchronous` holds up the commands of its entity. When such a future asks
//! another entity, the command carries the entity, behind those for whose command the future runs.
//! An entity that holds up its commands and gets a command with itself among the askers waits for
//! itself: it refuses the command.

use std::sync::Arc;

use crate::event::Metadata;
use crate::identity::ReplicationId;
use crate::{Error, Result};

/// Most askers that a command carries; the first ones are forgotten beyond. A longer circle ends at
/// the time limits.
const ASKERS_MAX: usize = 16;

/// The entities that wait for the answer of a command and hold up their own commands meanwhile, the
/// first asker first; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Askers(Arc<[ReplicationId]>);

impl Askers {
    /// The askers of a command that the entity `id` sends while it handles a command of `before`.
    pub(crate) fn and(before: Option<&Self>, id: &ReplicationId) -> Self {
        let before = before.map_or(&[][..], |askers| &askers.0);
        let kept = &before[before.len().saturating_sub(ASKERS_MAX - 1)..];
        Self(kept.iter().chain([id]).cloned().collect())
    }

    /// The circle, in words, if the entity is among the askers.
    pub(crate) fn circle(&self, id: &ReplicationId) -> Option<String> {
        let at = self.0.iter().position(|asker| asker == id)?;
        let others = self.0[at + 1..].iter().map(|asker| format!("`{asker}`, which asks "));
        Some(format!("`{id}` asks {}`{id}`", others.collect::<String>()))
    }

    /// The metadata of a command as it goes to another node, with its askers.
    pub fn join(metadata: &Metadata, askers: Option<&Self>) -> Metadata {
        let Some(askers) = askers else { return metadata.clone() };
        let ids: Vec<String> = askers.0.iter().map(ToString::to_string).collect();
        metadata.with_askers(ids.join("\n").into())
    }

    /// Takes the askers from the metadata of a command that came from another node.
    ///
    /// # Errors
    /// `Corrupt` when they are no ids, or too many.
    pub fn split(metadata: Metadata) -> Result<(Metadata, Option<Self>)> {
        let (metadata, askers) = metadata.without_askers();
        let Some(askers) = askers else { return Ok((metadata, None)) };
        let ids: Result<Vec<ReplicationId>> =
            askers.split('\n').map(ReplicationId::parse).collect();
        let ids = ids.map_err(|error| Error::corrupt(format!("askers of a command: {error}")))?;
        if ids.len() > ASKERS_MAX {
            return Err(Error::corrupt(format!(
                "askers of a command: expected at most {ASKERS_MAX}, actual {}",
                ids.len()
            )));
        }
        Ok((metadata, Some(Self(ids.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ReplicationId {
        ReplicationId::parse(text).unwrap()
    }

    fn askers(texts: &[&str]) -> Askers {
        let ids = texts.iter().map(|text| id(text));
        ids.fold(None, |before, id| Some(Askers::and(before.as_ref(), &id))).unwrap()
    }

    #[test]
    fn a_circle_is_told_from_the_entity_to_itself() {
        let askers = askers(&["a|1", "cart|c-1|A", "stock|s-1|B"]);
        let circle = askers.circle(&id("cart|c-1|A"));
        let expected = "`cart|c-1|A` asks `stock|s-1|B`, which asks `cart|c-1|A`";
        assert_eq!(circle.as_deref(), Some(expected));
        assert_eq!(
            askers.circle(&id("stock|s-1|B")).as_deref(),
            Some("`stock|s-1|B` asks `stock|s-1|B`")
        );
        assert_eq!(askers.circle(&id("cart|c-1|B")), None, "another replica");
    }

    #[test]
    fn askers_come_through_the_metadata_of_a_command_and_leave_it_as_it_was() {
        let own = Metadata::new().with("k", "v").unwrap();
        for (own, askers) in [
            (own.clone(), Some(askers(&["a|1", "b|2|A"]))),
            (Metadata::new(), Some(askers(&["a|1"]))),
            (own, None),
        ] {
            let joined = Askers::join(&own, askers.as_ref());
            assert_eq!(Askers::split(joined).unwrap(), (own, askers));
        }
    }

    #[test]
    fn foreign_askers_are_an_error_and_a_long_chain_keeps_the_last() {
        let texts: Vec<String> = (0..40).map(|number| format!("a|{number}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let long = askers(&texts);
        assert_eq!((long.0.len(), long.0[15].to_string()), (16, "a|39".to_owned()));
        for foreign in ["", "a", "a|1\n", &texts.join("\n")] {
            let metadata = Metadata::new().with_askers(foreign.into());
            assert!(Askers::split(metadata).is_err(), "{foreign:?}");
        }
    }
}
