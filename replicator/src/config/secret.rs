//! Texts that must not be shown: connection strings, credentials, URLs with a password inside.

use std::fmt;

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

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact_text(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", redact_text(&self.0))
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

/// The printable value of `key`: `***` when the key names a secret, else the text without the
/// passwords inside.
pub fn redact(key: &str, text: &str) -> String {
    if is_secret_key(key) && !text.is_empty() { "***".to_owned() } else { redact_text(text) }
}

/// Replaces the password of every `scheme://user:password@host`, and the value of every secret
/// parameter such as `password=..`.
pub fn redact_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out += head;
        let end = tail.find(['/', ';', '?', ' ', ',', '"']).unwrap_or(tail.len());
        // a password may hold characters that end an authority; then the last @ before the next
        // blank or quote ends the password
        let wide = tail.find([' ', '"']).unwrap_or(tail.len());
        let sign = tail[..end].rfind('@').or_else(|| tail[..wide].rfind('@'));
        match sign {
            Some(sign) => {
                out += tail[..sign].split(':').next().unwrap_or_default();
                out += if tail[..sign].contains(':') { ":***" } else { "" };
                rest = &tail[sign..];
            }
            None => rest = tail,
        }
    }
    out += rest;
    redact_parameters(&out)
}

fn redact_parameters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(['&', ';', '?', ' ']) {
        match part.split_once('=') {
            Some((name, value)) if is_secret_key(name) && !value.is_empty() => {
                let end = value.len() - value.trim_end_matches(['&', ';', '?', ' ']).len();
                out += &format!("{name}=***{}", &value[value.len() - end..]);
            }
            _ => out += part,
        }
    }
    out
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
            ("esdb://host:2113", "esdb://host:2113"),
            ("http://token@host/x", "http://token@host/x"),
            ("https://h/x?apiKey=abc&y=1", "https://h/x?apiKey=***&y=1"),
            (
                "DefaultUserCredentials=a:b;Password=c;X=1",
                "DefaultUserCredentials=***;Password=***;X=1",
            ),
            ("a=esdb://u:p@h b=esdb://v:q@i", "a=esdb://u:***@h b=esdb://v:***@i"),
        ] {
            assert_eq!(redact_text(text), shown);
            assert_eq!(Secret::new(text).to_string(), shown);
            assert!(!format!("{:?}", Secret::new(text)).contains("changeit"));
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
        fn no_text_panics_and_no_password_shows(before in "[a-z=; ]{0,6}", password in "[A-Z@:]{12,16}") {
            let text = format!("{before}esdb://user:{password}@host:1/?a=b");
            prop_assert!(!redact_text(&text).contains(&password));
        }

        #[test]
        fn any_text_is_redacted_without_a_panic(text in ".{0,60}") {
            let _ = redact_text(&text);
        }
    }
}
