//! A command on its way to another node, and the answers on their way back. All numbers are
//! little-endian.
//!
//! ```text
//! command                                  answers, one after the other
//!   5 u32  milliseconds that the asker       5 ...  encoded answer, or the error's text
//!  1 u32  places for answers in it          1 u32  length
//!  5 u32  milliseconds that the asker       5 ...  encoded answer, or the error's text
//!         still waits; all ones: no limit
//!  9 u16  length of the entity type
//! 11 u16  length of the entity id
//! 13 u16  length of the replica
//! 15 ...  type, id, replica, command
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::text::{cut, foreign};
use antiphon_base::{Error, Result};
use antiphon_persistence::reply::{ReplyError, ReplySender};
use antiphon_runtime::{AskError, Responder};
use bytes::{Buf, Bytes};
use parking_lot::{Mutex, MutexGuard};

use super::Completions;

/// Bytes before the names.
const HEADER: usize = 15;

/// Marks an asker's time without a limit.
const NO_LIMIT: u32 = u32::MAX;
/// Most places for answers in one command.
pub(crate) const REPLIES_MAX: u32 = 1024;
/// Longest text of an error that is sent, in bytes.
const WHY_BYTES_MAX: usize = 1024;

pub(super) type Answer = std::result::Result<Bytes, ReplyError>;

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
    pub(crate) command: Bytes,
}

impl WireCommand {
    pub(crate) fn encode(&self) -> Bytes {
        let texts = [&self.entity_type, &self.entity_id, &self.replica];
        let length: usize = texts.iter().map(|text| text.len()).sum();
        let mut bytes = Vec::with_capacity(HEADER + length + self.command.len());
        bytes.push(self.hops);
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
        bytes.extend_from_slice(&self.command);
        bytes.into()
    }

    pub(crate) fn decode(mut bytes: Bytes) -> Result<Self> {
        if bytes.len() < HEADER {
            return Err(malformed("15 bytes at least"));
        }
        let (hops, replies, time_left) = (bytes.get_u8(), bytes.get_u32_le(), bytes.get_u32_le());
        let time_left =
            (time_left != NO_LIMIT).then(|| Duration::from_millis(u64::from(time_left)));
        let lengths = [bytes.get_u16_le(), bytes.get_u16_le(), bytes.get_u16_le()];
        if replies > REPLIES_MAX {
            return Err(malformed("at most 1024 places for answers (`REPLIES_MAX`)"));
        }
        if !super::hops::is_valid(hops) {
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
        Ok(Self { hops, replies, time_left, entity_type, entity_id, replica, command: bytes })
    }
}

fn malformed(expected: &str) -> Error {
    Error::corrupt(format!("command from another node: expected {expected}"))
}

/// Hands the answers of the other node to the askers.
pub(crate) fn complete(completions: &Completions, mut answers: Bytes) {
    for id in 0..completions.count() as u64 {
        if answers.len() < 5 {
            break;
        }
        let (kind, length) = (answers.get_u8(), answers.get_u32_le() as usize);
        if answers.len() < length {
            break;
        }
        let bytes = answers.split_to(length);
        let answer = if kind == 0 { Ok(bytes) } else { Err(read_error(kind, &bytes)) };
        completions.finish(id, answer);
    }
    completions
        .fail_with(|| ReplyError::Unanswered("the other node's answer cannot be read".to_owned()));
}

fn write_error(error: &ReplyError) -> (u8, &str) {
    match error {
        ReplyError::NoReply => (1, ""),
        ReplyError::Timeout => (2, ""),
        ReplyError::NotHere(why) => (3, why),
        ReplyError::Overloaded(why) => (4, why),
        ReplyError::Stopped(why) => (5, why),
        ReplyError::Rejected(why) => (6, why),
        ReplyError::Unavailable(why) => (7, why),
        ReplyError::Unreachable(why) => (8, why),
        ReplyError::Unanswered(why) => (9, why),
        ReplyError::Expired(why) => (10, why),
        ReplyError::Failed(why) => (11, why),
    }
}

fn read_error(kind: u8, text: &[u8]) -> ReplyError {
    let text = &text[..text.len().min(WHY_BYTES_MAX)];
    let why = foreign(&String::from_utf8_lossy(text)).to_string();
    match kind {
        1 => ReplyError::NoReply,
        2 => ReplyError::Timeout,
        3 => ReplyError::NotHere(why),
        4 => ReplyError::Overloaded(why),
        5 => ReplyError::Stopped(why),
        6 => ReplyError::Rejected(why),
        7 => ReplyError::Unavailable(why),
        8 => ReplyError::Unreachable(why),
        10 => ReplyError::Expired(why),
        11 => ReplyError::Failed(why),
        // a kind of a later version: nothing is known of the effect
        _ => ReplyError::Unanswered(why),
    }
}

/// Collects the answers of one command and sends them back together when the last answer is there.
/// Memory is taken for answers that are given, not for answers that the command claims.
pub(crate) struct Answers {
    count: u32,
    state: Mutex<Collected>,
}

struct Collected {
    answers: Given,
    /// True after the command was read. Until then nothing is sent: a command that cannot be read
    /// drops the parts that were read.
    is_open: bool,
    responder: Option<Responder>,
}

/// The answers that were given. A single answer, the usual case, needs no tree.
#[derive(Default)]
struct Given {
    /// `None` when there is no answer, or more than one.
    only: Option<(u64, Answer)>,
    several: BTreeMap<u64, Answer>,
}

impl Given {
    fn len(&self) -> usize {
        self.several.len() + usize::from(self.only.is_some())
    }

    /// Adds an answer; the first one with an id counts.
    fn insert(&mut self, id: u64, answer: Answer) {
        if self.len() == 0 {
            self.only = Some((id, answer));
            return;
        }
        self.several.extend(self.only.take());
        self.several.entry(id).or_insert(answer);
    }
}

impl Answers {
    pub(crate) fn new(count: u32, responder: Responder) -> Self {
        let answers = Given::default();
        let state = Collected { answers, is_open: false, responder: Some(responder) };
        Self { count, state: Mutex::new(state) }
    }

    /// Notes that the command was read: its answers may be sent.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        state.is_open = true;
        self.finish(state);
    }

    /// Refuses a command that cannot be read. Nothing was done, and no answer of it is sent any
    /// more.
    pub(crate) fn reject(&self, why: String) {
        let responder = self.lock().responder.take();
        if let Some(responder) = responder {
            responder.fail(AskError::Rejected(why));
        }
    }

    fn finish(&self, mut state: MutexGuard<'_, Collected>) {
        if !state.is_open || state.answers.len() < self.count as usize {
            return;
        }
        let Some(responder) = state.responder.take() else { return };
        let answers = std::mem::take(&mut state.answers);
        drop(state);
        responder.reply(match &answers.only {
            Some((_, answer)) => write_answers(std::iter::once(answer)),
            None => write_answers(answers.several.values()),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.state.lock()
    }
}

impl ReplySender for Answers {
    fn send(&self, id: u64, answer: Answer) {
        if id < u64::from(self.count) {
            let mut state = self.lock();
            state.answers.insert(id, answer);
            self.finish(state);
        }
    }
}

fn write_answers<'a>(answers: impl Iterator<Item = &'a Answer> + Clone) -> Bytes {
    let content = |answer: &'a Answer| match answer {
        Ok(content) => (0, &content[..]),
        Err(error) => {
            let (kind, why) = write_error(error);
            (kind, cut(why, WHY_BYTES_MAX).as_bytes())
        }
    };
    let length = answers.clone().map(|answer| 5 + content(answer).1.len()).sum();
    let mut bytes = Vec::with_capacity(length);
    for answer in answers {
        let (kind, content) = content(answer);
        bytes.push(kind);
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(content);
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use antiphon_persistence::reply::ReplyRegistrar;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_command_has_these_bytes_and_is_read_back() {
        let command = WireCommand {
            hops: 1,
            replies: 2,
            time_left: Some(Duration::from_millis(258)),
            entity_type: "ty".into(),
            entity_id: "i".into(),
            replica: "".into(),
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
    fn time_that_is_left_is_rounded_up_and_a_kind_of_a_later_version_is_no_promise() {
        let mut command = WireCommand {
            hops: 0,
            replies: 1,
            time_left: Some(Duration::from_micros(1)),
            entity_type: "t".into(),
            entity_id: "i".into(),
            replica: "A".into(),
            command: Bytes::new(),
        };
        let read = |command: &WireCommand| WireCommand::decode(command.encode()).unwrap().time_left;
        assert_eq!(read(&command), Some(Duration::from_millis(1)));
        command.time_left = Some(Duration::MAX);
        assert_eq!(read(&command), None);
        assert!(!read_error(200, b"x").is_without_effect());
    }

    #[test]
    fn every_error_is_read_back() {
        for error in [
            ReplyError::NoReply,
            ReplyError::Timeout,
            ReplyError::NotHere("x".into()),
            ReplyError::Overloaded("x".into()),
            ReplyError::Stopped("x".into()),
            ReplyError::Rejected("x".into()),
            ReplyError::Unavailable("x".into()),
            ReplyError::Unreachable("x".into()),
            ReplyError::Unanswered("x".into()),
            ReplyError::Expired("x".into()),
            ReplyError::Failed("x".into()),
        ] {
            let (kind, why) = write_error(&error);
            assert_eq!(read_error(kind, why.as_bytes()), error);
        }
    }

    fn command(replies: u32) -> WireCommand {
        WireCommand {
            hops: 0,
            replies,
            time_left: None,
            entity_type: "t".into(),
            entity_id: "i".into(),
            replica: "A".into(),
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

    #[test]
    fn the_text_of_another_nodes_error_is_escaped_and_bounded() {
        let ReplyError::NotHere(why) = read_error(3, "a\n\u{1b}[2J".as_bytes()) else { panic!() };
        assert_eq!(why, r"a\u{a}\u{1b}[2J");
        let ReplyError::NotHere(why) = read_error(3, &vec![b'x'; 1_000_000]) else { panic!() };
        assert!(why.len() < 1000, "{}", why.len());
        let _ = read_error(3, &[0xff; 3]);
    }

    #[test]
    fn answers_that_end_in_the_middle_fail_the_rest() {
        let completions = Completions::default();
        let answers = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..3 {
            let answers = answers.clone();
            completions.register(Box::new(move |answer| answers.lock().push(answer)));
        }
        let sent = [Ok(Bytes::from_static(b"a")), Err(ReplyError::NoReply)];
        let mut bytes = write_answers(sent.iter()).to_vec();
        bytes.extend_from_slice(&[0, 255, 255, 255, 255, 1]);
        complete(&completions, bytes.into());
        let answers = answers.lock();
        assert_eq!(answers[..2], sent);
        assert!(answers[2].is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_command_or_an_error(
            noise in prop::collection::vec(any::<u8>(), 0..64),
            cut in 0..18usize,
            (at, byte) in (0..18usize, any::<u8>()),
        ) {
            complete(&Completions::default(), noise.clone().into());
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
