//! The tokens file: which token, and which client certificate, has which rights.
//!
//! Each line of the file is one client, by its name:
//!
//! ```toml
//! prometheus = { rights = ["read"], sha256 = "64 hexadecimal digits" }
//! shop = { rights = ["entities"], certificate = "shop" }
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use antiphon_base::secret::without_texts;
use antiphon_base::text::{cut, foreign};
use serde::{Deserialize, Serialize};
use subtle::ConditionallySelectable;

use super::rights::Rights;
use super::token::TokenHash;
use crate::{Error, Result};

/// Most bytes of a tokens file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most clients in a tokens file.
const CLIENTS_MAX: usize = 1000;
/// Most bytes of the name of a client.
const NAME_BYTES_MAX: usize = 64;

/// One line of a tokens file, without the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// The rights of the client.
    pub rights: Rights,
    /// The hash of its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<TokenHash>,
    /// The name in its certificate: a URI of it, or its common name if it has no URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// A client that is in the tokens file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) name: Arc<str>,
    pub(crate) rights: Rights,
}

/// The content of a tokens file.
#[derive(Debug, Default)]
pub struct Register {
    tokens: Vec<(TokenHash, Client)>,
    certificates: BTreeMap<String, Client>,
}

impl Register {
    /// Reads a tokens file.
    ///
    /// # Errors
    /// `Rejected`, naming the setting `http.tokens_file`, the file, and the line or the client. No
    /// text of the file is shown but the names of clients.
    pub fn read(path: &Path) -> Result<Self> {
        let bad = |error: &dyn std::fmt::Display| {
            Error::rejected(format!(
                "`http.tokens_file`: expected a file of `antiphon token`, actual {}: {error}",
                path.display()
            ))
        };
        let (mut text, file) = (String::new(), File::open(path).map_err(|error| bad(&error))?);
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        let read = read.map_err(|error| bad(&error))?;
        if u64::try_from(read).is_ok_and(|read| read > FILE_BYTES_MAX) {
            return Err(bad(&format_args!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        Self::parse(&text).map_err(|error| bad(&error))
    }

    /// Reads the text of a tokens file.
    ///
    /// # Errors
    /// `Rejected`, naming the line or the client. No text of the file is shown but the names of
    /// clients.
    pub fn parse(text: &str) -> Result<Self> {
        let entries: BTreeMap<String, TokenEntry> = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Error::rejected(format!("line {line}: {}", without_values(error.message())))
        })?;
        if entries.len() > CLIENTS_MAX {
            let actual = entries.len();
            return Err(Error::rejected(format!("it has {actual} clients, at most {CLIENTS_MAX}")));
        }
        let mut register = Self::default();
        for (name, entry) in entries {
            register.add(&name, entry).map_err(|why| {
                // a name that is none may be a token
                let shown = cut(&name, if check_name(&name).is_ok() { NAME_BYTES_MAX } else { 12 });
                Error::rejected(format!("client \"{}\": {why}", foreign(shown)))
            })?;
        }
        Ok(register)
    }

    fn add(&mut self, name: &str, entry: TokenEntry) -> std::result::Result<(), String> {
        check_name(name)?;
        if entry.rights.is_empty() {
            return Err("expected at least one right in `rights`".to_owned());
        }
        let client = Client { name: name.into(), rights: entry.rights };
        match (entry.sha256, entry.certificate) {
            (Some(hash), None) => {
                if let Some((_, other)) = self.tokens.iter().find(|(known, _)| *known == hash) {
                    return Err(format!("`{}` has the same token", other.name));
                }
                self.tokens.push((hash, client));
            }
            (None, Some(name)) if !name.is_empty() => {
                if let Some(other) = self.certificates.insert(name, client) {
                    return Err(format!("`{}` has the same certificate", other.name));
                }
            }
            (Some(_), Some(_)) | (None, Some(_) | None) => {
                return Err("expected either `sha256` or `certificate`".to_owned());
            }
        }
        Ok(())
    }

    /// Returns whether a client has this token.
    pub fn knows(&self, token: &str) -> bool {
        self.by_token(token).is_some()
    }

    /// Returns whether a client has a certificate and no token.
    pub(crate) fn has_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// The client with this token. All hashes are compared, each in the same time.
    pub(crate) fn by_token(&self, token: &str) -> Option<&Client> {
        let sent = TokenHash::of_sent(token)?;
        let mut found = u32::MAX;
        for (index, (hash, _)) in (0_u32..).zip(&self.tokens) {
            found.conditional_assign(&index, sent.is(hash));
        }
        let (_, client) = self.tokens.get(usize::try_from(found).ok()?)?;
        Some(client)
    }

    /// The client with a certificate of one of these names.
    pub(crate) fn by_certificate(&self, names: &[String]) -> Option<&Client> {
        names.iter().find_map(|name| self.certificates.get(name))
    }
}

/// A message about the form of the file, without a value of it: a token may stand at the wrong
/// place.
fn without_values(message: &str) -> String {
    match message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected ")) {
        Some((_, expected)) => format!("unknown right, expected {expected}"),
        None => without_texts(message),
    }
}

/// Checks the name of a client, which is in logs.
///
/// # Errors
/// A description of what was expected.
pub fn check_name(name: &str) -> std::result::Result<(), String> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_fit) {
        return Ok(());
    }
    Err(format!("expected a name of 1 to {NAME_BYTES_MAX} letters, digits, `-` and `_`"))
}

#[cfg(test)]
mod tests {
    use super::super::rights::Right;
    use super::*;

    fn hash(token: &str) -> String {
        TokenHash::of(token).to_string()
    }

    #[test]
    fn clients_are_found_by_their_token_or_their_certificate() {
        let text = format!(
            "# by hand\na = {{ rights = [\"read\"], sha256 = {:?} }}\nb = {{ rights = [\"entities\", \"operate\"], sha256 = {:?} }}\nc = {{ rights = [\"admin\"], certificate = \"spiffe://x/c\" }}\n",
            hash("one"),
            hash("two")
        );
        let register = Register::parse(&text).unwrap();
        let name = |client: Option<&Client>| client.map(|client| client.name.to_string());
        assert_eq!(name(register.by_token("one")).as_deref(), Some("a"));
        assert_eq!(name(register.by_token("two")).as_deref(), Some("b"));
        assert!(register.by_token("two").unwrap().rights.allow(Right::Read));
        for wrong in ["", "On", "one ", "three", &hash("one")] {
            assert_eq!(register.by_token(wrong), None, "{wrong}");
        }
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            name(register.by_certificate(&names(&["y", "spiffe://x/c"]))).as_deref(),
            Some("c")
        );
        assert_eq!(register.by_certificate(&names(&["c", "spiffe://x"])), None);
        assert!(Register::parse("").unwrap().by_token("one").is_none());
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_line_or_its_client_and_shows_no_token() {
        let token = "antiphon-0123456789";
        let good = hash("one");
        for (text, parts) in [
            (format!("a = {{ rights = [\"read\"], sha256 = \"{token}\" }}"), vec!["line 1", "64"]),
            (format!("a = \"{token}\""), vec!["line 1"]),
            (format!("\na = {{ rights = [\"reads\"], sha256 = \"{good}\" }}"), vec!["line 2"]),
            (format!("a = {{ rights = [], sha256 = \"{good}\" }}"), vec!["\"a\"", "one right"]),
            ("a = { rights = [\"read\"] }".to_owned(), vec!["\"a\"", "either"]),
            ("a = { rights = [\"read\"], certificate = \"\" }".to_owned(), vec!["either"]),
            (
                format!("a = {{ rights = [\"read\"], certificate = \"x\", sha256 = \"{good}\" }}"),
                vec!["either"],
            ),
            (
                format!("a = {{ rights = [\"read\"], token = \"{token}\" }}"),
                vec!["line 1", "unknown field"],
            ),
            (
                format!(
                    "a = {{ rights = [\"read\"], sha256 = \"{good}\" }}\nb = {{ rights = [\"read\"], sha256 = \"{good}\" }}"
                ),
                vec!["\"b\"", "`a` has the same token"],
            ),
            (
                format!("{token}-{good} = {{ rights = [\"read\"], certificate = \"x\" }}"),
                vec!["a name of 1"],
            ),
            (
                format!("a = {{ rights = [\"{token}\"], sha256 = \"{good}\" }}"),
                vec!["unknown right"],
            ),
            (format!("\"a b\" = {{ rights = [\"read\"], sha256 = \"{good}\" }}"), vec!["a b"]),
            ("a = ".to_owned(), vec!["line 1"]),
        ] {
            let error = Register::parse(&text).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{text:?}: {part:?} is not in {error:?}");
            }
            assert!(!error.contains(token), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_too_long_or_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let error = Register::read(&path).unwrap_err().to_string();
        assert!(error.contains("`http.tokens_file`") && error.contains("tokens.toml"), "{error}");
        std::fs::write(&path, vec![b'#'; 1 << 21]).unwrap();
        assert!(Register::read(&path).unwrap_err().to_string().contains("bytes"));
        let many: String = (0..=CLIENTS_MAX)
            .map(|n| format!("c{n} = {{ rights = [\"read\"], certificate = \"{n}\" }}\n"))
            .collect();
        assert!(Register::parse(&many).unwrap_err().to_string().contains("at most 1000"));
    }
}
