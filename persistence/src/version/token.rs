//! A session token: the events of one entity that a session has seen, as a text for clients.
//!
//! The text is the record in hexadecimal digits:
//!
//! | field | form |
//! |---|---|
//! | 1 | byte |
//! | entity type, entity id | texts |
//! | version | `record::version` |
//! | checksum of the fields before | 8 bytes |
//!
//! The checksum finds a text that was cut off or changed by accident. It is no signature: whoever
//! makes up a token waits for its events within the time of his own ask.

use std::fmt::{self, Write};
use std::str::FromStr;
use std::sync::Arc;

use antiphon_base::text::foreign;

use super::VersionVector;
use crate::identity::{ReplicaId, ReplicationId};
use crate::record::bytes::{Reader, Unreadable, put_bytes};
use crate::record::checksum::{self, Checksum};
use crate::record::version;
use crate::{Error, Result};

/// Most bytes of the text of a [`SessionToken`] that is read.
pub const SESSION_TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The form of the record.
const FORM: u8 = 1;

/// The events of one entity that a session has seen. An ask that carries it is handled by a replica
/// that has these events, or answered with `Behind`.
///
/// Its text, by [`Display`](fmt::Display), is for clients: hexadecimal digits, safe in headers and
/// URLs. The content of the text is no part of the interface.
///
/// ```
/// use antiphon_persistence::identity::{ReplicaId, ReplicationId};
/// use antiphon_persistence::version::{SessionToken, VersionVector};
///
/// let cart = ReplicationId::parse("cart|c-1|DC-A")?;
/// let seen = VersionVector::from_iter([(ReplicaId::new("DC-A")?, 3)]);
/// let token = SessionToken::new(&cart, seen);
/// let text = token.to_string();
/// assert_eq!(SessionToken::parse(&text)?, token);
///
/// let error = SessionToken::parse(&text[..text.len() - 2]).unwrap_err();
/// assert!(error.to_string().contains("session token"), "{error}");
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionToken {
    entity_type: Arc<str>,
    entity_id: Arc<str>,
    version: VersionVector,
}

impl SessionToken {
    /// The token of a session that has seen these events of the entity, whichever the replica.
    pub fn new(id: &ReplicationId, version: VersionVector) -> Self {
        Self { entity_type: id.entity_type().clone(), entity_id: id.entity_id().clone(), version }
    }

    /// Reads the text of a token.
    ///
    /// # Errors
    /// `Rejected` when the text is longer than [`SESSION_TOKEN_BYTES_MAX`], was cut off or changed,
    /// or is of a later version.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > SESSION_TOKEN_BYTES_MAX {
            return Err(Error::rejected(format!(
                "session token: expected at most {SESSION_TOKEN_BYTES_MAX} bytes, actual {}",
                text.len()
            )));
        }
        let read = bytes_of(text).and_then(|bytes| Self::decode(&bytes));
        read.map_err(|why| {
            let shown = text.get(..text.len().min(32)).unwrap_or_default();
            Error::rejected(format!(
                "session token `{}`: {why}; expected a text as the last answer had it, or no token",
                foreign(shown)
            ))
        })
    }

    /// The type of the entity.
    pub fn entity_type(&self) -> &str {
        &self.entity_type
    }

    /// The id of the entity.
    pub fn entity_id(&self) -> &str {
        &self.entity_id
    }

    /// The number of events by origin.
    pub fn version(&self) -> &VersionVector {
        &self.version
    }

    /// Returns whether the token is of this entity, at whichever replica.
    pub fn is_of(&self, id: &ReplicationId) -> bool {
        self.entity_type == *id.entity_type() && self.entity_id == *id.entity_id()
    }

    /// Checks that the token is of this entity.
    ///
    /// # Errors
    /// `Rejected`, with both names.
    pub fn check(&self, id: &ReplicationId) -> Result<()> {
        if self.is_of(id) {
            return Ok(());
        }
        Err(Error::rejected(format!(
            "session token of `{}|{}`: expected one of `{}|{}`; keep one token for each entity",
            foreign(&self.entity_type),
            foreign(&self.entity_id),
            id.entity_type(),
            id.entity_id()
        )))
    }

    /// Adds the events of another token of the same entity.
    ///
    /// # Errors
    /// `Rejected` when the other token is of another entity; nothing is added.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        other.check(&ReplicationId::new(
            &self.entity_type,
            &self.entity_id,
            ReplicaId::empty(),
        )?)?;
        self.version.merge(&other.version);
        Ok(())
    }

    /// The record of the token.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        put_bytes(&mut bytes, self.entity_type.as_bytes());
        put_bytes(&mut bytes, self.entity_id.as_bytes());
        version::put(&mut bytes, &self.version);
        checksum::seal(Checksum::of("session token"), &mut bytes);
        bytes
    }

    /// The token of a record.
    ///
    /// # Errors
    /// The reason why the bytes are unreadable.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        const OTHER: Unreadable = "it was cut off or changed, or is no token";
        let record = checksum::open(Checksum::of("session token"), bytes).map_err(|_| OTHER)?;
        let mut reader = Reader(record);
        if reader.byte()? != FORM {
            return Err("it is of a later version");
        }
        let (entity_type, entity_id) = (reader.text()?, reader.text()?);
        let id = ReplicationId::new(entity_type, entity_id, ReplicaId::empty());
        let id = id.map_err(|_| "its entity type or entity id is not allowed")?;
        let version = version::get(&mut reader)?;
        reader.end()?;
        Ok(Self::new(&id, version))
    }
}

impl fmt::Display for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.encode();
        let mut text = String::with_capacity(2 * bytes.len());
        bytes.iter().try_for_each(|byte| write!(text, "{byte:02x}"))?;
        f.write_str(&text)
    }
}

impl FromStr for SessionToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// The bytes that these hexadecimal digits mean.
fn bytes_of(text: &str) -> Result<Vec<u8>, Unreadable> {
    const NO_DIGITS: Unreadable = "it is not of pairs of hexadecimal digits";
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(NO_DIGITS);
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let [high, low] = pair else { return Err(NO_DIGITS) };
        u8::try_from(digit(*high)? * 16 + digit(*low)?).map_err(|_| NO_DIGITS)
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> ReplicationId {
        ReplicationId::parse(text).unwrap()
    }

    fn token(entity: &str, counters: &[(&str, u64)]) -> SessionToken {
        let replica = |name: &str| ReplicaId::new(name).unwrap();
        let version = counters.iter().map(|(name, counter)| (replica(name), *counter)).collect();
        SessionToken::new(&id(entity), version)
    }

    #[test]
    fn a_token_has_this_text_and_is_read_back() {
        let token = token("cart|c-1|A", &[("A", 3), ("B", 300)]);
        let text = token.to_string();
        assert!(text.starts_with("01046361727403632d31020141030142ac02"), "{text}");
        assert_eq!(SessionToken::parse(&text).unwrap(), token);
        assert_eq!(SessionToken::parse(&text.to_uppercase()).unwrap(), token);
        assert!(token.is_of(&id("cart|c-1|B")) && !token.is_of(&id("cart|c-2|A")));
    }

    #[test]
    fn a_token_that_was_cut_off_or_changed_is_refused_with_the_reason() {
        let text = token("cart|c-1", &[("A", 3)]).to_string();
        for length in 0..text.len() {
            let error = SessionToken::parse(&text[..length]).unwrap_err().to_string();
            assert!(error.contains("session token"), "{error}");
        }
        for index in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] = if changed[index] == b'0' { b'1' } else { b'0' };
            assert!(SessionToken::parse(std::str::from_utf8(&changed).unwrap()).is_err());
        }
        assert!(SessionToken::parse("no digits, ü").is_err());
        let long = "0".repeat(SESSION_TOKEN_BYTES_MAX + 2);
        let error = SessionToken::parse(&long).unwrap_err().to_string();
        assert!(error.contains("at most 16384 bytes"), "{error}");
    }

    #[test]
    fn a_token_of_another_entity_is_refused_with_both_names() {
        let mut cart = token("cart|c-1", &[("A", 3)]);
        for (other, is_same) in [("cart|c-1|B", true), ("cart|c-2", false), ("stock|c-1", false)] {
            let other = token(other, &[("A", 1), ("B", 2)]);
            let merged = cart.merge(&other);
            assert_eq!(merged.is_ok(), is_same);
            let Err(error) = merged else { continue };
            let (own, other) = ("`cart|c-1`", format!("`{}|", other.entity_type()));
            assert!(error.to_string().contains(own) && error.to_string().contains(&other));
        }
        assert_eq!(cart, token("cart|c-1", &[("A", 3), ("B", 2)]));
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_an_error(text in "[0-9a-f]{0,96}") {
            let _ = SessionToken::parse(&text);
        }
    }
}
