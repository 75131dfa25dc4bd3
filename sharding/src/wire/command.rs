//! A command on its way to another node. All numbers are little-endian.
//!
//! ```text
//!  0 u8   hops (`wire::hops`), and whether there is metadata
//!  1 u32  places for answers in the command
//!  5 u32  milliseconds that the asker still waits; all ones: no limit
//!  9 u16  length of the entity type
//! 11 u16  length of the entity id
//! 13 u16  length of the replica
//! 15 ...  type, id, replica, metadata (`antiphon_persistence::record::labels`), command
//! ```

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::{Error, Result};
use antiphon_persistence::event::Metadata;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::record::bytes::Reader;
use antiphon_persistence::record::labels::{get_metadata, put_metadata};
use antiphon_persistence::reply::{Askers, Session};
use bytes::{Buf, Bytes};

use super::hops::{self, WITH_METADATA};

/// Bytes before the names.
const HEADER: usize = 15;

/// Marks an asker's time without a limit.
const NO_LIMIT: u32 = u32::MAX;
/// Most places for answers in one command.
pub(crate) const REPLIES_MAX: u32 = 1024;

/// A command with its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WireCommand {
    pub(crate) hops: u8,
    pub(crate) replies: u32,
    /// Time that the asker still waits; after it the command is void. `None`: no limit.
    pub(crate) time_left: Option<Duration>,
    pub(crate) entity_type: Arc<str>,
    pub(crate) entity_id: Arc<str>,
    pub(crate) replica: Arc<str>,
    /// A command without metadata has the bytes of the time before there was metadata.
    pub(crate) metadata: Metadata,
    /// On the way they are an entry of the metadata.
    pub(crate) askers: Option<Askers>,
    /// On the way it is an entry of the metadata too.
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) command: Bytes,
}

impl WireCommand {
    pub(crate) fn encode(&self) -> Bytes {
        let texts = [&self.entity_type, &self.entity_id, &self.replica];
        let length: usize = texts.iter().map(|text| text.len()).sum();
        let mut bytes = Vec::with_capacity(HEADER + length + self.command.len());
        let metadata = Askers::join(&self.metadata, self.askers.as_ref());
        let metadata = Session::join(metadata, self.session.as_deref());
        let with_metadata = if metadata.is_empty() { 0 } else { WITH_METADATA };
        bytes.push(self.hops | with_metadata);
        bytes.extend_from_slice(&self.replies.to_le_bytes());
        let time_left = self.time_left.map_or(NO_LIMIT, |time| {
            // rounded up, so that no time of the asker is lost
            u32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(NO_LIMIT)
        });
        bytes.extend_from_slice(&time_left.to_le_bytes());
        for text in texts {
            let length = u16::try_from(text.len()).expect("names are limited");
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        for text in texts {
            bytes.extend_from_slice(text.as_bytes());
        }
        if with_metadata != 0 {
            put_metadata(&mut bytes, &metadata);
        }
        bytes.extend_from_slice(&self.command);
        bytes.into()
    }

    pub(crate) fn decode(mut bytes: Bytes) -> Result<Self> {
        if bytes.len() < HEADER {
            return Err(malformed("15 bytes at least"));
        }
        let (marked, replies, time_left) = (bytes.get_u8(), bytes.get_u32_le(), bytes.get_u32_le());
        let hops = marked & !WITH_METADATA;
        let time_left =
            (time_left != NO_LIMIT).then(|| Duration::from_millis(u64::from(time_left)));
        let lengths = [bytes.get_u16_le(), bytes.get_u16_le(), bytes.get_u16_le()];
        if replies > REPLIES_MAX {
            return Err(malformed("at most 1024 places for answers (`REPLIES_MAX`)"));
        }
        if !hops::is_valid(hops) {
            return Err(malformed("a number of nodes that passed it on"));
        }
        let mut text = |length: u16| {
            if bytes.len() < usize::from(length) {
                return Err(malformed("three names"));
            }
            let text = bytes.split_to(usize::from(length));
            std::str::from_utf8(&text).map(Arc::from).map_err(|_| malformed("names in UTF-8"))
        };
        let (entity_type, entity_id, replica) =
            (text(lengths[0])?, text(lengths[1])?, text(lengths[2])?);
        let metadata = if hops == marked { Metadata::new() } else { read_metadata(&mut bytes)? };
        let (metadata, askers) = Askers::split(metadata)?;
        let (metadata, session) = split_session(metadata, &entity_type, &entity_id)?;
        Ok(Self {
            hops,
            replies,
            time_left,
            entity_type,
            entity_id,
            replica,
            metadata,
            askers,
            session,
            command: bytes,
        })
    }
}

/// Takes the session from the metadata of a command to this entity. A command without metadata has
/// none, and its names are checked later.
fn split_session(
    metadata: Metadata,
    entity_type: &str,
    entity_id: &str,
) -> Result<(Metadata, Option<Arc<Session>>)> {
    if metadata.is_empty() {
        return Ok((metadata, None));
    }
    let entity = ReplicationId::new(entity_type, entity_id, ReplicaId::empty());
    let entity = entity.map_err(|error| Error::corrupt(error.to_string()))?;
    let (metadata, session) = Session::split(metadata, &entity)?;
    Ok((metadata, session.map(Arc::new)))
}

/// Takes the metadata from the front of the bytes.
fn read_metadata(bytes: &mut Bytes) -> Result<Metadata> {
    let mut reader = Reader(bytes);
    let metadata = get_metadata(&mut reader).map_err(malformed_metadata)?;
    if metadata.is_empty() {
        return Err(malformed_metadata("it is empty"));
    }
    *bytes = bytes.slice_ref(reader.0);
    Ok(metadata)
}

fn malformed_metadata(why: &'static str) -> Error {
    Error::corrupt(format!("metadata of a command from another node: {why}"))
}

fn malformed(expected: &str) -> Error {
    Error::corrupt(format!("command from another node: expected {expected}"))
}

#[cfg(test)]
mod tests {
    use antiphon_persistence::version::SessionToken;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_command_with_metadata_has_these_bytes_and_older_nodes_refuse_it() {
        let metadata = Metadata::new().with("k", "vw").unwrap();
        let command = WireCommand { hops: 0x41, metadata, ..command(1) };
        let bytes = command.encode();
        let golden = [
            0x51, 1, 0, 0, 0, 255, 255, 255, 255, 1, 0, 1, 0, 1, 0, b't', b'i', b'A', 1, 1, b'k',
            2, b'v', b'w', b'x',
        ];
        assert_eq!(&bytes[..], golden);
        assert_eq!(WireCommand::decode(bytes).unwrap(), command);
        // the bits of an older node's count, of which it takes 4 at most
        assert!(golden[0] & 0x3f > hops::HOPS_MAX);
        for length in 0..24_usize {
            assert!(WireCommand::decode(Bytes::copy_from_slice(&golden[..length])).is_err());
        }
        let mut empty = golden[..18].to_vec();
        empty.extend_from_slice(&[0, b'x']);
        let error = WireCommand::decode(empty.into()).unwrap_err();
        assert!(error.to_string().contains("metadata"), "{error}");
    }

    #[test]
    fn a_command_has_these_bytes_and_is_read_back() {
        let command = WireCommand {
            hops: 1,
            replies: 2,
            time_left: Some(Duration::from_millis(258)),
            entity_type: "ty".into(),
            entity_id: "i".into(),
            replica: "".into(),
            metadata: Metadata::new(),
            askers: None,
            session: None,
            command: Bytes::from_static(b"xy"),
        };
        let bytes = command.encode();
        let golden = [1, 2, 0, 0, 0, 2, 1, 0, 0, 2, 0, 1, 0, 0, 0, b't', b'y', b'i', b'x', b'y'];
        assert_eq!(&bytes[..], golden);
        assert_eq!(WireCommand::decode(bytes).unwrap(), command);
        for length in 0..18 {
            assert!(WireCommand::decode(Bytes::copy_from_slice(&golden[..length])).is_err());
        }
    }

    #[test]
    fn a_command_of_a_session_is_read_back_and_a_token_of_another_entity_is_refused() {
        let token = |id: &str| {
            let seen = [(ReplicaId::new("A").unwrap(), 3)].into_iter().collect();
            SessionToken::new(&ReplicationId::parse(id).unwrap(), seen)
        };
        let session = |id: &str| {
            let entity = ReplicationId::parse(id).unwrap();
            let session = Session::after(&entity, Some(&token(id))).unwrap();
            Some(Arc::new(session.with_version()))
        };
        let command = WireCommand { session: session("t|i"), ..command(1) };
        assert_eq!(WireCommand::decode(command.encode()).unwrap(), command);
        let foreign = WireCommand { session: session("t|j"), ..command };
        let error = WireCommand::decode(foreign.encode()).unwrap_err().to_string();
        assert!(error.contains("`t|j`") && error.contains("`t|i`"), "{error}");
    }

    #[test]
    fn a_request_id_goes_with_its_command_to_another_node() {
        let id = antiphon_persistence::event::RequestId::new("checkout-7").unwrap();
        let command = WireCommand { metadata: Metadata::new().with_request(&id), ..command(1) };
        let read = WireCommand::decode(command.encode()).unwrap();
        assert_eq!(read.metadata.request_id(), Some(id));
    }

    #[test]
    fn time_that_is_left_is_rounded_up() {
        let mut command = WireCommand {
            time_left: Some(Duration::from_micros(1)),
            command: Bytes::new(),
            ..command(1)
        };
        let read = |command: &WireCommand| WireCommand::decode(command.encode()).unwrap().time_left;
        assert_eq!(read(&command), Some(Duration::from_millis(1)));
        command.time_left = Some(Duration::MAX);
        assert_eq!(read(&command), None);
    }

    fn command(replies: u32) -> WireCommand {
        WireCommand {
            hops: 0,
            replies,
            time_left: None,
            entity_type: "t".into(),
            entity_id: "i".into(),
            replica: "A".into(),
            metadata: Metadata::new(),
            askers: None,
            session: None,
            command: Bytes::from_static(b"x"),
        }
    }

    /// A count of 8 millions in a command of 8 MB took 335 MB and hung the node.
    #[test]
    fn a_command_that_claims_too_many_answers_is_refused() {
        assert!(WireCommand::decode(command(REPLIES_MAX).encode()).is_ok());
        for replies in [REPLIES_MAX + 1, u32::MAX] {
            let error = WireCommand::decode(command(replies).encode()).unwrap_err();
            assert!(error.to_string().contains("REPLIES_MAX"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_command_or_an_error(
            noise in prop::collection::vec(any::<u8>(), 0..64),
            cut in 0..18usize,
            (at, byte) in (0..18usize, any::<u8>()),
        ) {
            let _ = WireCommand::decode(noise.into());
            let mut bytes = command(1).encode().to_vec();
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
            let _ = WireCommand::decode(bytes.into());
        }
    }
}
