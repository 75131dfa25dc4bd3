//! The record of requests that were done, a section of [a snapshot](super::snapshot).
//!
//! | field | form |
//! |---|---|
//! | request count, at least one | number |
//! | per request, oldest first: id, with the mark of its content | text |
//! | origin, number of its first event there, time of that event | text, 2 numbers |
//! | answer | byte 0: none; 1: blob; 2: its bytes were too many, number; 3: it comes later |

use antiphon_base::time::Timestamp;
use bytes::Bytes;

use super::bytes::{Reader, Unreadable, put_bytes, put_number};
use super::version;
use crate::event::RequestId;
use crate::store::{DoneRequest, KeptAnswer};

/// No answer is kept.
const NONE: u8 = 0;
/// The answer follows.
const BYTES: u8 = 1;
/// The number of the answer's bytes follows.
const TOO_LARGE: u8 = 2;

/// The answer comes with a later event.
const LATER: u8 = 3;

/// Adds requests to a record.
pub fn put(out: &mut Vec<u8>, requests: &[DoneRequest]) {
    put_number(out, requests.len() as u64);
    for DoneRequest { id, origin, first, at, answer } in requests {
        put_bytes(out, id.marked_text().as_bytes());
        put_bytes(out, origin.as_str().as_bytes());
        put_number(out, *first);
        put_number(out, at.as_micros());
        match answer {
            KeptAnswer::None => out.push(NONE),
            KeptAnswer::Later => out.push(LATER),
            KeptAnswer::Bytes(bytes) => {
                out.push(BYTES);
                put_bytes(out, bytes);
            }
            KeptAnswer::TooLarge(bytes) => {
                out.push(TOO_LARGE);
                put_number(out, *bytes);
            }
        }
    }
}

/// Reads requests within a record.
///
/// # Errors
/// The reason why the bytes are unreadable.
pub fn get(reader: &mut Reader<'_>) -> Result<Vec<DoneRequest>, Unreadable> {
    let count = reader.number()?;
    if count == 0 {
        return Err("it has a section of requests, and no request");
    }
    let mut requests = Vec::new();
    for _ in 0..count {
        let id = RequestId::parse(reader.text()?).map_err(|_| "a request id is not allowed")?;
        let origin = version::replica_named(reader.bytes()?)?;
        let (first, at) = (reader.number()?, Timestamp::from_micros(reader.number()?));
        let answer = match reader.byte()? {
            NONE => KeptAnswer::None,
            LATER => KeptAnswer::Later,
            BYTES => KeptAnswer::Bytes(Bytes::copy_from_slice(reader.bytes()?)),
            TOO_LARGE => KeptAnswer::TooLarge(reader.number()?),
            _ => return Err("an answer of a request has a form of a newer version"),
        };
        requests.push(DoneRequest { id, origin, first, at, answer });
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ReplicaId;

    fn request(id: &str, answer: KeptAnswer) -> DoneRequest {
        DoneRequest {
            id: RequestId::new(id).unwrap(),
            origin: ReplicaId::new("A").unwrap(),
            first: 5,
            at: Timestamp::from_micros(6),
            answer,
        }
    }

    #[test]
    fn requests_have_these_bytes_and_are_read_back() {
        let requests = vec![
            request("b", KeptAnswer::Bytes(Bytes::from_static(b"xy"))),
            request("a", KeptAnswer::None),
            request("c", KeptAnswer::TooLarge(300)),
            request("d", KeptAnswer::Later),
        ];
        let mut bytes = Vec::new();
        put(&mut bytes, &requests);
        let golden = [
            4, 1, b'b', 1, b'A', 5, 6, 1, 2, b'x', b'y', 1, b'a', 1, b'A', 5, 6, 0, 1, b'c', 1,
            b'A', 5, 6, 2, 0xac, 2, 1, b'd', 1, b'A', 5, 6, 3,
        ];
        assert_eq!(bytes, golden);
        assert_eq!(get(&mut Reader(&bytes)), Ok(requests.clone()));
        let marked = requests[1].id.clone().with_content("x");
        let mut with_mark = Vec::new();
        put(&mut with_mark, &[DoneRequest { id: marked.clone(), ..requests[1].clone() }]);
        let read = get(&mut Reader(&with_mark)).unwrap();
        assert_eq!(read[0].id.marked_text(), marked.marked_text());
        for end in 0..bytes.len() {
            assert!(get(&mut Reader(&bytes[..end])).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn requests_that_no_encoder_writes_are_not_read() {
        for wrong in [&[0][..], &[1, 0, 1, b'A', 5, 6, 0], &[1, 1, b'a', 1, b'A', 5, 6, 4]] {
            assert!(get(&mut Reader(wrong)).is_err(), "{wrong:?}");
        }
    }
}
