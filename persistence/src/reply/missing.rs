//! The events that a replica has not, and that a session has seen.
//!
//! The text form, which goes over links and over HTTP: `origin|has|needs`, once for each origin,
//! separated by `|` too, which no replica id has. An error is short: origins beyond 1000 bytes are
//! left out.

use std::fmt::{self, Write};

use crate::identity::ReplicaId;
use crate::version::VersionVector;
use crate::{Error, Result};

/// Most bytes of the text form.
const TEXT_BYTES_MAX: usize = 1000;

/// The events of one origin that a replica has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingEvents {
    /// The replica that wrote the events.
    pub origin: ReplicaId,
    /// The number of events of this origin that are there.
    pub has: u64,
    /// The number of events of this origin that the session has seen; above `has`.
    pub needs: u64,
}

/// The events that a replica has not and that a session has seen: by origin, sorted, at least one.
/// When they are of many origins with long names, the first ones.
///
/// ```
/// use antiphon_persistence::identity::ReplicaId;
/// use antiphon_persistence::reply::Missing;
/// use antiphon_persistence::version::VersionVector;
///
/// let (a, b) = (ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?);
/// let needed = VersionVector::from_iter([(a.clone(), 5), (b.clone(), 1)]);
/// let seen = VersionVector::from_iter([(a.clone(), 3), (b, 1)]);
/// let missing = Missing::between(&seen, &needed).expect("two events are missing");
/// let events = missing.iter().next().expect("of one origin");
/// assert_eq!((events.origin, events.has, events.needs), (a, 3, 5));
/// assert_eq!(missing.to_string(), "events 4 to 5 of `DC-A`");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Missing(Box<str>);

impl Missing {
    /// The events of `needed` that are not in `seen`; `None` when all are.
    pub fn between(seen: &VersionVector, needed: &VersionVector) -> Option<Self> {
        let mut text = String::new();
        for (origin, needs) in needed.iter() {
            let has = seen.get(origin);
            if has >= needs {
                continue;
            }
            let before = text.len();
            let separator = if before == 0 { "" } else { "|" };
            let written = write!(text, "{separator}{}|{has}|{needs}", origin.as_str());
            written.expect("a text takes everything");
            if before > 0 && text.len() > TEXT_BYTES_MAX {
                text.truncate(before);
                break;
            }
        }
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// `Corrupt` when it is none.
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('|').collect();
        let is_read = text.len() <= TEXT_BYTES_MAX
            && parts.len().is_multiple_of(3)
            && parts.chunks(3).all(|part| read(part).is_some_and(|read| read.has < read.needs));
        if is_read {
            return Ok(Self(text.into()));
        }
        let expected = "expected replica ids, each with two numbers, the second the larger one";
        Err(Error::corrupt(format!("missing events of a replica: {expected}")))
    }

    /// The text form.
    pub fn as_text(&self) -> &str {
        &self.0
    }

    /// The missing events, by origin.
    pub fn iter(&self) -> impl Iterator<Item = MissingEvents> {
        let parts: Vec<&str> = self.0.split('|').collect();
        let events: Vec<_> = parts.chunks(3).filter_map(read).collect();
        events.into_iter()
    }
}

/// The missing events of one origin in the text form.
fn read(part: &[&str]) -> Option<MissingEvents> {
    let [origin, has, needs] = part else { return None };
    let origin =
        if origin.is_empty() { ReplicaId::empty() } else { ReplicaId::new(origin).ok()? };
    Some(MissingEvents { origin, has: has.parse().ok()?, needs: needs.parse().ok()? })
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, MissingEvents { origin, has, needs }) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match has.saturating_add(1) {
                first if first == needs => write!(f, "{comma}event {needs} of `{origin}`")?,
                first => write!(f, "{comma}events {first} to {needs} of `{origin}`")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Missing({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(counters: &[(&str, u64)]) -> VersionVector {
        let replica = |name: &str| match name {
            "" => ReplicaId::empty(),
            name => ReplicaId::new(name).unwrap(),
        };
        counters.iter().map(|(name, counter)| (replica(name), *counter)).collect()
    }

    #[test]
    fn missing_events_are_told_by_origin_and_come_through_the_text_form() {
        let (seen, needed) =
            (version(&[("", 1), ("A", 3), ("B", 9)]), version(&[("", 2), ("A", 5), ("B", 9)]));
        let missing = Missing::between(&seen, &needed).unwrap();
        assert_eq!(missing.to_string(), "event 2 of ``, events 4 to 5 of `A`");
        assert_eq!(missing.as_text(), "|1|2|A|3|5");
        assert_eq!(Missing::parse(missing.as_text()).unwrap(), missing);
        assert_eq!(Missing::between(&needed, &seen), None);
    }

    #[test]
    fn a_foreign_text_of_missing_events_is_an_error_and_long_names_are_left_out() {
        for foreign in ["", "A", "A|1", "A|5|5", "A|5|3", "A|x|3", "A|1|2|B", "A|1|2|", "a\n|1|2"] {
            assert!(Missing::parse(foreign).is_err(), "{foreign:?}");
        }
        let names: Vec<_> = (0..4).map(|number| format!("{number}{}", "x".repeat(400))).collect();
        let long: Vec<_> = names.iter().map(|name| (&**name, 7)).collect();
        let missing = Missing::between(&VersionVector::new(), &version(&long)).unwrap();
        assert_eq!(missing.iter().count(), 2);
        assert_eq!(Missing::parse(missing.as_text()).unwrap(), missing);
    }

    proptest! {
        #[test]
        fn any_text_is_missing_events_or_an_error(text in "[A-B0-9|]{0,24}") {
            if let Ok(missing) = Missing::parse(&text) {
                prop_assert!(missing.iter().count() > 0);
            }
        }
    }
}
