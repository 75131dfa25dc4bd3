//! The bytes of the answers to a command, one after the other, in the order of their places. All
//! numbers are little-endian.
//!
//! ```text
//! 0 u8   0: an answer; else the kind of an error
//! 1 u32  length
//! 5 ...  encoded answer, or the error's text
//! ```

use antiphon_base::text::{cut, foreign};
use antiphon_persistence::reply::{Missing, ReplyError};
use bytes::{Buf, Bytes};

/// Longest text of an error that is sent, in bytes.
const WHY_BYTES_MAX: usize = 1024;

/// An answer, encoded, or the reason why there is none.
pub(super) type Answer = Result<Bytes, ReplyError>;

pub(super) fn write_answers<'a>(answers: impl Iterator<Item = &'a Answer> + Clone) -> Bytes {
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

/// Takes the next answer from the bytes; `None` when they end, also in the middle of an answer.
pub(super) fn read_answer(bytes: &mut Bytes) -> Option<Answer> {
    if bytes.len() < 5 {
        return None;
    }
    let (kind, length) = (bytes.get_u8(), bytes.get_u32_le() as usize);
    if bytes.len() < length {
        return None;
    }
    let content = bytes.split_to(length);
    Some(if kind == 0 { Ok(content) } else { Err(read_error(kind, &content)) })
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
        ReplyError::Done(why) => (12, why),
        ReplyError::Behind(missing) => (13, missing.as_text()),
    }
}

fn read_error(kind: u8, text: &[u8]) -> ReplyError {
    let text = &text[..text.len().min(WHY_BYTES_MAX)];
    if kind == 13
        && let Some(missing) =
            std::str::from_utf8(text).ok().and_then(|text| Missing::parse(text).ok())
    {
        return ReplyError::Behind(missing);
    }
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
        12 => ReplyError::Done(why),
        // a kind of a later version: nothing is known of the effect
        _ => ReplyError::Unanswered(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_kind_of_a_later_version_is_no_promise() {
        assert!(!read_error(200, b"x").is_without_effect());
        assert!(!read_error(13, b"x").is_without_effect());
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
            ReplyError::Done("x".into()),
            ReplyError::Behind(Missing::parse("A|1|2").unwrap()),
        ] {
            let (kind, why) = write_error(&error);
            assert_eq!(read_error(kind, why.as_bytes()), error);
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
}
