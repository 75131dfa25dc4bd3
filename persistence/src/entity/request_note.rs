//! The request of an event, as its metadata keeps it.
//!
//! - `antiphon.done` is `BACK LATER ID`: the events and the microseconds since the first event of
//!   the request's handling, then the request id, with the mark of its content.
//! - `antiphon.answer` is `=BYTES`, the encoded answer, each byte as the character with its number;
//!   or `!COUNT`, when the answer had so many bytes, too many to be kept; or `?`, when the answer
//!   comes with a later event of the handling.
//!
//! Each event of a command that came with a request id has the first entry. The first event of the
//! command has the second one too, if the effect had an answer. A request is handled by one command
//! and by those of its futures beside the commands: together they are its *handling*, which is
//! named by the replica, and by the number of its first event among the own events of the replica.

use antiphon_base::time::Timestamp;
use bytes::Bytes;

use crate::event::{EventMeta, Metadata, RequestId};
use crate::identity::ReplicaId;
use crate::store::KeptAnswer;

/// The request of an event of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestNote {
    pub(super) id: RequestId,
    /// The number of own events since the first event of the handling; zero: this is the first one.
    pub(super) back: u64,
    /// Microseconds since that event.
    pub(super) later: u64,
}

/// The handling of a request: the earlier one is the one that counts, at every replica.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Handling {
    /// The time of its first event.
    pub(super) at: Timestamp,
    pub(super) origin: ReplicaId,
    /// The number of its first event among those of the origin.
    pub(super) first: u64,
}

impl RequestNote {
    /// The value of the entry.
    pub(super) fn write(&self) -> Box<str> {
        format!("{} {} {}", self.back, self.later, self.id.marked_text()).into()
    }

    fn parse(text: &str) -> Option<Self> {
        let (back, rest) = text.split_once(' ')?;
        let (later, id) = rest.split_once(' ')?;
        let id = RequestId::parse(id).ok()?;
        Some(Self { id, back: back.parse().ok()?, later: later.parse().ok()? })
    }

    /// The request of an event with this metadata, if it has one. The error is the reason why the
    /// note cannot be read.
    pub(super) fn read(metadata: &Metadata) -> Result<Option<Self>, String> {
        let Some(text) = metadata.done() else { return Ok(None) };
        let note = Self::parse(text);
        note.map(Some).ok_or_else(|| format!("a note of another form: {:?}", cut(text)))
    }

    /// The handling that an event with this metadata belongs to; `None` when the numbers do not fit
    /// the event.
    pub(super) fn handling(&self, meta: &EventMeta) -> Option<Handling> {
        let first = meta.origin_nr().checked_sub(self.back).filter(|first| *first > 0)?;
        let at = meta.timestamp.as_micros().checked_sub(self.later)?;
        Some(Handling { at: Timestamp::from_micros(at), origin: meta.origin.clone(), first })
    }
}

/// The value of the entry for an answer; `None`: there is no answer to keep.
pub(super) fn write_answer(answer: &KeptAnswer) -> Option<Box<str>> {
    match answer {
        KeptAnswer::None => None,
        KeptAnswer::Later => Some("?".into()),
        KeptAnswer::TooLarge(bytes) => Some(format!("!{bytes}").into()),
        KeptAnswer::Bytes(bytes) => {
            let chars = bytes.iter().map(|byte| char::from(*byte));
            Some(std::iter::once('=').chain(chars).collect::<String>().into())
        }
    }
}

/// The answer in the metadata of an event. An entry that cannot be read counts as none.
pub(super) fn read_answer(metadata: &Metadata) -> KeptAnswer {
    let Some(text) = metadata.answer() else { return KeptAnswer::None };
    if text == "?" {
        return KeptAnswer::Later;
    }
    if let Some(chars) = text.strip_prefix('=') {
        let bytes = chars.chars().map(|char| u8::try_from(u32::from(char)));
        let bytes: Result<Vec<u8>, _> = bytes.collect();
        return bytes.map_or(KeptAnswer::None, |bytes| KeptAnswer::Bytes(Bytes::from(bytes)));
    }
    let bytes = text.strip_prefix('!').and_then(|count| count.parse().ok());
    bytes.map_or(KeptAnswer::None, KeptAnswer::TooLarge)
}

/// The first characters of a text, for a message.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Result<Option<RequestNote>, String> {
        RequestNote::read(&Metadata::new().with_done(text.into()))
    }

    #[test]
    fn a_note_is_read_back_as_it_was_written() {
        for (text, back, later, id) in [("0 0 a", 0, 0, "a"), ("3 70 a b 5", 3, 70, "a b 5")] {
            let written = RequestNote { id: RequestId::new(id).unwrap(), back, later };
            assert_eq!(&*written.write(), text);
            assert_eq!(note(text), Ok(Some(written)));
        }
        let marked = RequestId::new("a").unwrap().with_content("x");
        let written = RequestNote { id: marked.clone(), back: 0, later: 0 }.write();
        let read = note(&written).unwrap().unwrap();
        assert_eq!(read.id.content(), marked.content());
        assert_eq!(RequestNote::read(&Metadata::new()), Ok(None));
        for wrong in ["", "0", "0 0", "0 0 ", "x 0 a", "-1 0 a", "0 99999999999999999999 a"] {
            assert!(note(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_of_any_bytes_is_read_back() {
        let all = KeptAnswer::Bytes((0..=255).collect::<Vec<u8>>().into());
        let empty = KeptAnswer::Bytes(Bytes::new());
        for answer in [all, empty, KeptAnswer::TooLarge(70_000), KeptAnswer::Later] {
            let text = write_answer(&answer).unwrap();
            assert_eq!(read_answer(&Metadata::new().with_answer(text)), answer);
        }
        assert_eq!(write_answer(&KeptAnswer::None), None);
        for wrong in ["", "!", "!x", "=\u{100}", "??"] {
            let metadata = Metadata::new().with_answer(wrong.into());
            assert_eq!(read_answer(&metadata), KeptAnswer::None, "{wrong}");
        }
    }
}
