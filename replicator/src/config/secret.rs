//! Texts that must not be shown: connection strings, credentials, URLs with a password inside.

use std::fmt;

use antiphon_eventstore::ConnectionString;

/// A text whose password is not shown, neither by `Debug` nor by `Display`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text in clear, for use and not for display.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether no text was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Shows a connection string or a URL without its password; any other text may be all secret.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.trim();
        match ConnectionString::parse(text) {
            Ok(connection) => connection.fmt(f),
            Err(_) if text.is_empty() => Ok(()),
            Err(_) if text.starts_with("http://") || text.starts_with("https://") => {
                f.write_str(&redact_text(text))
            }
            Err(_) => f.write_str(HIDDEN),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

const SECRET_WORDS: [&str; 9] = [
    "password",
    "secret",
    "apikey",
    "accesskey",
    "token",
    "credential",
    "authorization",
    "passphrase",
    "pwd",
];

/// Returns whether the name of a key means a value that must not be shown.
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace(['_', '-'], "");
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// The printable value of `key`: `***` when the key names a secret, a connection string as its
/// client understands it, else the text without the passwords inside.
pub fn redact(key: &str, text: &str) -> String {
    if is_secret_key(key) && !text.is_empty() {
        return HIDDEN.to_owned();
    }
    if key.to_ascii_lowercase().ends_with("connectionstring") && !text.trim().is_empty() {
        return match ConnectionString::parse(text) {
            Ok(connection) => connection.to_string(),
            // no part of a string that is not understood is known to be harmless
            Err(_) => HIDDEN.to_owned(),
        };
    }
    redact_text(text)
}

const HIDDEN: &str = "***";

/// Hides the user's password of a URL, and everything from the first secret parameter such as
/// `password=..` on.
///
/// A password may hold any character, so everything from the first `://` to the last `@` counts as
/// user and password, and only a user with a `:` behind it is shown. Too much is hidden where a
/// text has several URLs, or an `@` in a path.
pub fn redact_text(text: &str) -> String {
    let split = text.split_once("://").and_then(|(head, tail)| {
        let (user, rest) = tail.rsplit_once('@')?;
        Some((head, user, rest))
    });
    match split {
        None => redact_parameters(text),
        Some((head, user, rest)) => {
            let user = user.split_once(':').map_or(HIDDEN.to_owned(), |(user, _)| {
                format!("{}:{HIDDEN}", redact_parameters(user))
            });
            format!("{}://{user}@{}", redact_parameters(head), redact_parameters(rest))
        }
    }
}

fn redact_parameters(text: &str) -> String {
    let mut names = text.match_indices('=').map(|(at, _)| {
        let start =
            text[..at].rfind(['&', ';', '?', ' ', ',']).map_or(0, |separator| separator + 1);
        (at, &text[start..at])
    });
    match names.find(|(at, name)| is_secret_key(name) && at + 1 < text.len()) {
        Some((at, _)) => format!("{}={HIDDEN}", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn passwords_are_not_shown_and_the_rest_is() {
        for (text, shown) in [
            ("esdb://admin:changeit@host:2113?tls=false", "esdb://admin:***@host:2113?tls=false"),
            (
                "ConnectTo=tcp://admin:change@it@host:1113; HeartBeatTimeout=500",
                "ConnectTo=tcp://admin:***@host:1113; HeartBeatTimeout=500",
            ),
            ("esdb://a:p/q@h", "esdb://a:***@h"),
            ("esdb://a:p?q \"://@h", "esdb://a:***@h"),
            ("esdb://host:2113", "esdb://host:2113"),
            ("http://token@host/x", "http://***@host/x"),
            ("https://h/x?y=1&apiKey=abc;d@e", "https://***@e"),
            ("https://h/x?y=1&apiKey=abc;d", "https://h/x?y=1&apiKey=***"),
            ("DefaultUserCredentials=a:b c;X=1", "DefaultUserCredentials=***"),
            ("a=esdb://u:p@h b=esdb://v:q@i", "a=esdb://u:***@i"),
        ] {
            assert_eq!(redact_text(text), shown);
        }
    }

    #[test]
    fn a_secret_shows_what_is_known_to_be_harmless() {
        for (text, shown) in [
            (
                "esdb://admin:p@h?gossipTimeout=8",
                "esdb://admin:***@h:2113?tls=true&gossipTimeout=8",
            ),
            ("esdb://admin:p?w@h", "***"),
            ("esdb:/admin:pw@h", "***"),
            ("Bearer abc", "***"),
            ("http://u:p@h/x", "http://u:***@h/x"),
            ("", ""),
        ] {
            assert_eq!(Secret::new(text).to_string(), shown);
            assert_eq!(format!("{:?}", Secret::new(text)), format!("{shown:?}"));
            let key = "Settings:SourceEventStoreConnectionString";
            if !text.starts_with("http") {
                assert_eq!(redact(key, text), shown);
            }
        }
    }

    #[test]
    fn keys_that_name_a_secret_show_nothing() {
        assert_eq!(redact("Serilog:WriteTo:0:Args:apiKey", "abc"), "***");
        assert_eq!(redact("AWS:SecretKey", "abc"), "***");
        assert_eq!(redact("Settings:Lanes", "8"), "8");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_password_shows(before in "[a-z=; ]{0,6}", password in "[A-Z@:?/#%&=;, ]{12,16}") {
            let text = format!("{before}esdb://user:{password}@host:1/?a=b");
            prop_assert!(!redact_text(&text).contains(&password));
        }

        #[test]
        fn any_text_is_redacted_without_a_panic(text in ".{0,60}") {
            let _ = redact_text(&text);
        }
    }
}
