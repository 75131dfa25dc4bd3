//! Tokens: a random text that its bearer sends, and the hash of it that a node keeps.

use std::fmt::{self, Write};

use antiphon_base::secret::Secret;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::{Error, Result};

/// The begin of each token, by which programs that look for leaked secrets find it.
const PREFIX: &str = "antiphon-";
/// Most bytes of a token that a client sends.
const TOKEN_BYTES_MAX: usize = 256;

/// The SHA-256 of a token. A token has 256 random bits, so that nobody finds it from its hash, and
/// no slow hash is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

/// Makes a token, and its hash for the tokens file. Nothing else has the token: it cannot be read
/// back from the hash.
///
/// # Errors
/// `Unavailable` when the operating system gives no random bytes.
pub fn new_token() -> Result<(Secret, TokenHash)> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Error::unavailable(format!("no random bytes: {error}")))?;
    let token = format!("{PREFIX}{}", Hex(&random));
    let hash = TokenHash::of(&token);
    Ok((token.into(), hash))
}

impl TokenHash {
    /// The hash of a token.
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// The hash of a token that a client sends; `None` when the text cannot be a token.
    pub(super) fn of_sent(token: &str) -> Option<Self> {
        let is_fit = (1..=TOKEN_BYTES_MAX).contains(&token.len());
        is_fit.then(|| Self::of(token))
    }

    /// Compares in a time that does not depend on the bytes.
    pub(super) fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// Bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(64);
        write!(text, "{self}").expect("a text takes everything");
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        // a token in the place of its hash must not be shown
        let text = antiphon_base::secret::deserialize(deserializer)?;
        let wrong =
            || D::Error::custom("expected 64 hexadecimal digits, as `antiphon token` prints");
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(wrong()) };
            *byte = u8::try_from(high * 16 + low).map_err(|_| wrong())?;
        }
        Ok(Self(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_random_and_is_known_by_its_hash_only() {
        let (first, hash) = new_token().unwrap();
        let (second, other) = new_token().unwrap();
        assert_eq!(first.expose().len(), PREFIX.len() + 64);
        assert_ne!(first.expose(), second.expose());
        let sent = TokenHash::of_sent(first.expose()).unwrap();
        assert!(bool::from(sent.is(&hash)) && !bool::from(sent.is(&other)));
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<TokenHash>(&text).unwrap(), hash);
        assert!(!format!("{first:?} {hash:?}").contains(&first.expose()[PREFIX.len()..]));
    }

    #[test]
    fn texts_that_are_no_hash_are_refused_and_not_shown() {
        let (token, _) = new_token().unwrap();
        let long = "ab".repeat(33);
        for wrong in [token.expose(), "", "ab", &"xy".repeat(32), &"ü".repeat(32), &long] {
            let json = serde_json::to_string(wrong).unwrap();
            let error = serde_json::from_str::<TokenHash>(&json).unwrap_err().to_string();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
            assert!(wrong.len() < 4 || !error.contains(wrong), "{error}");
        }
        assert!(TokenHash::of_sent("").is_none());
        assert!(TokenHash::of_sent(&"x".repeat(TOKEN_BYTES_MAX + 1)).is_none());
    }
}
