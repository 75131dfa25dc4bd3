//! The address of a node: a host and a port.

use std::fmt;

use crate::error::{Error, Result};

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    /// A host name or an IP address; IPv6 without brackets.
    pub host: String,
    /// The port of the HTTP interface.
    pub port: u16,
}

/// The usual port of the HTTP interface.
pub(crate) const PORT: u16 = 2113;

impl NodeAddress {
    /// Parses `host`, `host:port` or `[IPv6]:port`. An error repeats no text that may be a part of
    /// a password: `admin:secret` without a host behind it looks like a host with a port.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let bare = text.trim();
        let (host, port) = match bare.strip_prefix('[') {
            Some(rest) => {
                let closed = rest
                    .split_once(']')
                    .filter(|(_, rest)| rest.is_empty() || rest.starts_with(':'));
                let (host, port) = closed.ok_or_else(|| {
                    wrong("`[IPv6]` or `[IPv6]:port`", "a `[` without its `]`, or a text behind it")
                })?;
                (host, port.strip_prefix(':'))
            }
            None => bare.split_once(':').map_or((bare, None), |(host, port)| (host, Some(port))),
        };
        let fits = |c: char| !c.is_whitespace() && !"/?#@%&=;".contains(c);
        if host.is_empty() {
            return Err(wrong("`host` or `host:port`", "no host"));
        }
        if !host.chars().all(fits) {
            return Err(wrong("`host` or `host:port`", "a character that no host has"));
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let actual = if is_number && (1..=5).contains(&port.len()) {
                    format!("`{port}`")
                } else {
                    "another text".to_owned()
                };
                wrong(&format!("a port from 1 to 65535 after the host `{host}`"), &actual)
            })?,
            None => PORT,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

fn wrong(expected: &str, actual: &str) -> Error {
    Error::rejected(format!("connection string: expected {expected}, actual {actual}"))
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
