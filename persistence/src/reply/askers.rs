//! The entities that hold up their commands until a command is answered, so that a circle of asks
//! is refused at once and not after a time-out.
//!
//! The future of `Effect::asynchronous` holds up the commands of its entity. When such a future
//! asks another entity, the command carries the entity, behind those for whose command the future
//! runs. An entity that holds up its commands and gets a command with itself among the askers waits
//! for itself: it refuses the command. An asker has the number of its future: a command of a future
//! that has given up meanwhile is no circle.

use std::sync::Arc;

use crate::event::Metadata;
use crate::identity::ReplicationId;
use crate::{Error, Result};

/// Most bytes of the askers' ids, beside the last asker: they are metadata on the way to another
/// node.
const BYTES_MAX: usize = 1024;

/// Most askers that a command carries; the first ones are forgotten beyond. A longer circle ends at
/// the time limits.
const ASKERS_MAX: usize = 16;

/// The entities that wait for the answer of a command and hold up their own commands meanwhile, the
/// first asker first; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Askers(Arc<[Asker]>);

/// An entity, and the number of the future that holds up its commands.
type Asker = (ReplicationId, u64);

impl Askers {
    /// The askers of a command that the entity `id` sends from the future with this number, which
    /// runs for a command of `before`.
    pub(crate) fn and(before: Option<&Self>, id: &ReplicationId, future: u64) -> Self {
        let before = before.map_or(&[][..], |askers| &askers.0);
        let mut left = BYTES_MAX.saturating_sub(id.to_string().len());
        let fits = |(id, _): &&Asker| {
            let bytes = id.to_string().len();
            left.checked_sub(bytes).inspect(|rest| left = *rest).is_some()
        };
        let count = before.iter().rev().take(ASKERS_MAX - 1).take_while(fits).count();
        let kept = &before[before.len() - count..];
        let asker = (id.clone(), future);
        Self(kept.iter().cloned().chain([asker]).collect())
    }

    /// The circle, in words, if this future of the entity is among the askers.
    pub(crate) fn circle(&self, id: &ReplicationId, future: u64) -> Option<String> {
        let at = self.0.iter().position(|(asker, number)| asker == id && *number == future)?;
        let others = self.0[at + 1..].iter().map(|(asker, _)| format!("`{asker}`, which asks "));
        Some(format!("`{id}` asks {}`{id}`", others.collect::<String>()))
    }

    /// The metadata of a command as it goes to another node, with its askers.
    pub fn join(metadata: &Metadata, askers: Option<&Self>) -> Metadata {
        let Some(askers) = askers else { return metadata.clone() };
        let askers: Vec<_> = askers.0.iter().map(|(id, future)| format!("{future} {id}")).collect();
        metadata.with_askers(askers.join("\n").into())
    }

    /// Takes the askers from the metadata of a command that came from another node.
    ///
    /// # Errors
    /// `Corrupt` when they are no numbers with ids, or too many.
    pub fn split(metadata: Metadata) -> Result<(Metadata, Option<Self>)> {
        let (metadata, askers) = metadata.without_askers();
        let Some(askers) = askers else { return Ok((metadata, None)) };
        let corrupt = |why: String| Error::corrupt(format!("askers of a command: {why}"));
        let count = askers.split('\n').count();
        if count > ASKERS_MAX {
            return Err(corrupt(format!("expected at most {ASKERS_MAX}, actual {count}")));
        }
        let read = |text: &str| {
            let (future, id) = text.split_once(' ')?;
            Some((ReplicationId::parse(id).ok()?, future.parse().ok()?))
        };
        let each = askers.split('\n').map(|text| {
            read(text)
                .ok_or_else(|| corrupt(format!("expected a number and an id, actual {text:?}")))
        });
        Ok((metadata, Some(Self(each.collect::<Result<_>>()?))))
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
        ids.fold(None, |before, id| Some(Askers::and(before.as_ref(), &id, 7))).unwrap()
    }

    #[test]
    fn a_circle_is_told_from_the_entity_to_itself() {
        let askers = askers(&["a|1", "cart|c-1|A", "stock|s-1|B"]);
        let circle = askers.circle(&id("cart|c-1|A"), 7);
        let expected = "`cart|c-1|A` asks `stock|s-1|B`, which asks `cart|c-1|A`";
        assert_eq!(circle.as_deref(), Some(expected));
        assert_eq!(
            askers.circle(&id("stock|s-1|B"), 7).as_deref(),
            Some("`stock|s-1|B` asks `stock|s-1|B`")
        );
        assert_eq!(askers.circle(&id("cart|c-1|B"), 7), None, "another replica");
        assert_eq!(askers.circle(&id("cart|c-1|A"), 8), None, "the future has given up");
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
        assert_eq!((long.0.len(), long.0[15].0.to_string()), (16, "a|39".to_owned()));
        let wide = format!("a|{}", "1".repeat(200));
        assert_eq!(askers(&[&*wide; 16]).0.len(), 5, "within 1 KiB");
        let many = vec!["7 a|1"; 17].join("\n");
        for foreign in ["", "7 a", "a|1", "7 a|1\n", "-1 a|1", &many] {
            let metadata = Metadata::new().with_askers(foreign.into());
            assert!(Askers::split(metadata).is_err(), "{foreign:?}");
        }
    }
}
