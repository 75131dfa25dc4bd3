//! The part of a command's claim that is about a session: the events that the entity must have
//! before it takes the command, and the place for the version that its answer could have seen.
//!
//! On the way to another node it is an entry of the command's metadata. The answer to an asker who
//! wants a version has a token in front:
//!
//! ```text
//! number  length of the token; 0: none
//! ...     token
//! ...     encoded answer
//! ```
//!
//! The `ReplyTo` in the command says by a bit of its number that its asker wants one
//! ([`WANTS_VERSION`]), so that also a command without an asker that carries the `ReplyTo` on gives
//! one.

use std::fmt;

use antiphon_base::text::foreign;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::event::Metadata;
use crate::identity::ReplicationId;
use crate::record::bytes::{Reader, put_bytes};
use crate::version::{SessionToken, VersionVector};
use crate::{Error, Result};

/// Set in the number of a place for an answer whose asker wants a version.
pub(super) const WANTS_VERSION: u64 = 1 << 63;

/// The session that a command belongs to.
pub struct Session {
    entity: ReplicationId,
    after: Option<VersionVector>,
    /// `None`: the asker wants no version.
    version: Option<Mutex<VersionVector>>,
}

impl PartialEq for Session {
    /// Compares what goes to another node with the command.
    fn eq(&self, other: &Self) -> bool {
        let Self { entity, after, version } = self;
        let names = (entity.entity_type(), entity.entity_id());
        names == (other.entity.entity_type(), other.entity.entity_id())
            && *after == other.after
            && version.is_some() == other.version.is_some()
    }
}

impl Eq for Session {}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session(after {:?}, wants: {})", self.after, self.version.is_some())
    }
}

impl Session {
    /// The session of a command to this entity, which must have the events of the token before it
    /// takes the command.
    ///
    /// # Errors
    /// `Rejected` when the token is of another entity.
    pub fn after(entity: &ReplicationId, token: Option<&SessionToken>) -> Result<Self> {
        token.map_or(Ok(()), |token| token.check(entity))?;
        let after = token.map(|token| token.version().clone()).filter(|after| !after.is_empty());
        Ok(Self { entity: entity.clone(), after, version: None })
    }

    /// The same for an asker who wants the version of the answer.
    #[must_use]
    pub fn with_version(self) -> Self {
        Self { version: Some(Mutex::default()), ..self }
    }

    /// The events that the entity must have, if there are any.
    pub(crate) fn needs(&self) -> Option<&VersionVector> {
        self.after.as_ref()
    }

    /// Returns whether the asker wants a version.
    pub(crate) fn wants_version(&self) -> bool {
        self.version.is_some()
    }

    /// Adds the version of an answer, if it is of this entity and the asker wants it.
    pub(crate) fn note(&self, token: &SessionToken) {
        if let Some(version) = self.version.as_ref().filter(|_| token.is_of(&self.entity)) {
            version.lock().merge(token.version());
        }
    }

    /// The token after the answer: with the events that the command came after, and those that the
    /// answer could have seen.
    pub fn token(&self) -> SessionToken {
        let mut seen = self.after.clone().unwrap_or_default();
        if let Some(version) = &self.version {
            seen.merge(&version.lock());
        }
        SessionToken::new(&self.entity, seen)
    }

    /// The metadata of a command as it goes to another node, with its session.
    pub fn join(metadata: Metadata, session: Option<&Self>) -> Metadata {
        let Some(session) = session else { return metadata };
        let wants = u8::from(session.wants_version());
        let after = session.after.clone();
        let after = after.map(|after| SessionToken::new(&session.entity, after).to_string());
        metadata.with_session(format!("{wants}{}", after.unwrap_or_default()).into())
    }

    /// Takes the session from the metadata of a command to this entity that came from another node.
    ///
    /// # Errors
    /// `Corrupt` when it is none, or of another entity.
    pub fn split(metadata: Metadata, entity: &ReplicationId) -> Result<(Metadata, Option<Self>)> {
        let (metadata, text) = metadata.without_session();
        let Some(text) = text else { return Ok((metadata, None)) };
        let corrupt =
            |why: &dyn fmt::Display| Error::corrupt(format!("session of a command: {why}"));
        let wants = match text.as_bytes().first() {
            Some(b'0') => false,
            Some(b'1') => true,
            Some(_) | None => {
                let why = format!("expected 0 or 1 and a token, actual {:?}", foreign(&text));
                return Err(corrupt(&why));
            }
        };
        let token = Some(&text[1..]).filter(|text| !text.is_empty()).map(SessionToken::parse);
        let token = token.transpose().map_err(|error| corrupt(&error))?;
        let session = Self::after(entity, token.as_ref()).map_err(|error| corrupt(&error))?;
        Ok((metadata, Some(if wants { session.with_version() } else { session })))
    }
}

/// An encoded answer with the token in front, for an asker who wants it.
pub(super) fn with_token(token: Option<&SessionToken>, answer: &[u8]) -> Bytes {
    let token = token.map(SessionToken::encode).unwrap_or_default();
    let mut bytes = Vec::with_capacity(answer.len() + token.len() + 3);
    put_bytes(&mut bytes, &token);
    bytes.extend_from_slice(answer);
    bytes.into()
}

/// The token in front of an encoded answer, and the answer.
///
/// # Errors
/// The reason why the bytes are unreadable.
pub(super) fn split_token(bytes: &Bytes) -> Result<(Option<SessionToken>, Bytes), &'static str> {
    let mut reader = Reader(bytes);
    let token = reader.bytes()?;
    let answer = bytes.slice_ref(reader.0);
    if token.is_empty() {
        return Ok((None, answer));
    }
    Ok((Some(SessionToken::decode(token)?), answer))
}

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    //! The tokens of clients, and those in front of answers, under a fuzzer.

    use antiphon_base::fuzzing::{Bounds, Check, Decoder};
    use bytes::Bytes;

    use super::{SessionToken, VersionVector, split_token, with_token};
    use crate::identity::{ReplicaId, ReplicationId};

    /// Session tokens.
    pub const SESSIONS: &[Decoder] = &[
        Decoder {
            name: "session_token",
            decode: text,
            seeds: || vec![token().to_string().into_bytes()],
            bounds: Bounds::new(4096, 64),
        },
        Decoder {
            name: "answer_with_version",
            decode: answer,
            seeds: || {
                let answers = [with_token(Some(&token()), b"answer"), with_token(None, b"")];
                answers.map(Vec::from).into()
            },
            bounds: Bounds::new(4096, 64),
        },
    ];

    fn token() -> SessionToken {
        let id = ReplicationId::parse("cart|c-1").expect("an id");
        let replica = |name| ReplicaId::new(name).expect("a name");
        let seen = [(replica("A"), 3), (replica("B"), 300)].into_iter().collect();
        SessionToken::new(&id, seen)
    }

    fn text(bytes: &[u8]) -> Option<Check> {
        let token = SessionToken::parse(std::str::from_utf8(bytes).ok()?).ok()?;
        Some(Box::new(move || {
            let again = SessionToken::parse(&token.to_string()).expect("a text is read back");
            assert_eq!(again, token);
            let mut merged = token.clone();
            merged.merge(&again).expect("the same entity");
            assert_eq!(
                *merged.version(),
                VersionVector::from_iter(
                    token.version().iter().map(|(origin, counter)| (origin.clone(), counter),)
                )
            );
        }))
    }

    fn answer(bytes: &[u8]) -> Option<Check> {
        let (token, answer) = split_token(&Bytes::copy_from_slice(bytes)).ok()?;
        Some(Box::new(move || {
            let again = split_token(&with_token(token.as_ref(), &answer));
            assert_eq!(again, Ok((token, answer)));
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ReplicaId;

    fn id(text: &str) -> ReplicationId {
        ReplicationId::parse(text).unwrap()
    }

    fn version(counter: u64) -> VersionVector {
        [(ReplicaId::new("A").unwrap(), counter)].into_iter().collect()
    }

    #[test]
    fn a_session_comes_through_the_metadata_of_a_command_and_leaves_it_as_it_was() {
        let (own, cart) = (Metadata::new().with("k", "v").unwrap(), id("cart|c-1|B"));
        let token = SessionToken::new(&cart, version(3));
        for (after, wants) in [(None, true), (Some(&token), false), (Some(&token), true)] {
            let session = Session::after(&cart, after).unwrap();
            let session = if wants { session.with_version() } else { session };
            let joined = Session::join(own.clone(), Some(&session));
            let (metadata, read) = Session::split(joined, &cart).unwrap();
            let read = read.unwrap();
            assert_eq!((metadata, read.wants_version()), (own.clone(), wants));
            assert_eq!(read.needs(), session.needs());
        }
        assert!(Session::join(Metadata::new(), None).is_empty());
        assert!(Session::split(own.clone(), &cart).unwrap().1.is_none());
    }

    #[test]
    fn a_foreign_session_is_an_error_of_the_command() {
        let cart = id("cart|c-1|B");
        let other = SessionToken::new(&id("cart|c-2"), version(3)).to_string();
        for foreign in ["", "2", "1x", "100", &format!("1{other}"), "ü"] {
            let metadata = Metadata::new().with_session(foreign.into());
            let error = Session::split(metadata, &cart).unwrap_err();
            assert!(error.to_string().contains("session of a command"), "{error}");
        }
    }

    #[test]
    fn a_token_has_the_events_before_and_those_of_all_answers_of_the_same_entity() {
        let cart = id("cart|c-1|B");
        let before = SessionToken::new(&cart, version(3));
        let session = Session::after(&cart, Some(&before)).unwrap().with_version();
        assert_eq!(session.token(), before);
        let b = ReplicaId::new("B").unwrap();
        let seen = [(b.clone(), 2)].into_iter().collect();
        session.note(&SessionToken::new(&id("cart|c-1|A"), seen));
        session.note(&SessionToken::new(&id("stock|c-1|A"), version(9)));
        let mut expected = version(3);
        expected.set(&b, 2);
        assert_eq!(*session.token().version(), expected);
    }

    #[test]
    fn an_answer_and_its_token_are_read_back_and_bytes_that_end_early_are_refused() {
        let token = SessionToken::new(&id("cart|c-1"), version(3));
        let bytes = with_token(Some(&token), b"answer");
        let answer = Bytes::from_static(b"answer");
        assert_eq!(split_token(&bytes), Ok((Some(token), answer.clone())));
        assert_eq!(split_token(&with_token(None, b"answer")), Ok((None, answer)));
        for length in 0..bytes.len() - 6 {
            assert!(split_token(&bytes.slice(..length)).is_err());
        }
    }
}
