//! Texts in HTTP headers: the name of a replica may have characters that a header cannot carry.
//!
//! Such a character is written as its bytes in UTF-8, each as `%` and two hexadecimal digits, as in
//! a URL. The character `%` is written in the same way. All other characters are written as they
//! are.

use std::fmt::Write;

/// The header that names a replica.
pub const REPLICA: &str = "antiphon-replica";
/// The header that selects a routing policy, which chooses the replica.
pub const POLICY: &str = "antiphon-policy";
/// The header with the session token of an entity: of the last answer, or [`NEW_SESSION`]; and of
/// the answer.
pub const SESSION: &str = "antiphon-session";
/// The value of [`SESSION`] in the first request of a session.
pub const NEW_SESSION: &str = "new";

/// The header of a command with the id of a request, which is done once.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The header of a command with the milliseconds that its sender still waits.
pub const TIME_LEFT: &str = "antiphon-time-left";
/// The header of an encoded command whose sender wants no answer.
pub const TELL: &str = "antiphon-tell";
/// The content type of an encoded command.
pub const COMMAND_TYPE: &str = "application/vnd.antiphon.command";
/// The content type of the encoded answer to an encoded command.
pub const ANSWER_TYPE: &str = "application/vnd.antiphon.answer";

/// Encodes a text for a header.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a text takes everything");
        }
    }
    encoded
}

/// Decodes the text of a header. Plain UTF-8 is accepted too.
///
/// # Errors
/// A description of the fault.
#[cfg(feature = "app")]
pub fn decode(value: &[u8]) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |index: usize| rest.get(index).and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err("expected two hexadecimal digits after `%`; `%` itself is `%25`".into());
        };
        bytes.push(u8::try_from(high * 16 + low).expect("two digits are a byte"));
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| "expected a text in UTF-8".into())
}

#[cfg(all(test, feature = "app"))]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_header_can_carry_come_through() {
        for (name, encoded) in [
            ("DC-A", "DC-A"),
            ("Zürich", "Z%C3%BCrich"),
            ("São Paulo", "S%C3%A3o%20Paulo"),
            ("a/b:c", "a/b:c"),
            ("100%", "100%25"),
            ("%41", "%2541"),
            ("a\nb", "a%0Ab"),
            ("東京", "%E6%9D%B1%E4%BA%AC"),
        ] {
            assert_eq!(encode(name), encoded);
            assert_eq!(decode(encoded.as_bytes()).unwrap(), name);
        }
        assert_eq!(decode("Zürich".as_bytes()).unwrap(), "Zürich");
        for wrong in [&b"%"[..], b"%4", b"%zz", b"%FF", b"\xff"] {
            decode(wrong).unwrap_err();
        }
    }
}
