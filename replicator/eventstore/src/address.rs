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
    /// Parses `host`, `host:port` or `[IPv6]:port`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::rejected(format!(
                "connection string: expected `host` or `host:port`, actual `{text}`"
            ))
        };
        let bare = text.trim();
        let (host, port) = match bare.strip_prefix('[') {
            Some(rest) => match rest.split_once(']').ok_or_else(wrong)? {
                (host, "") => (host, None),
                (host, port) => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            },
            None => bare.split_once(':').map_or((bare, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?,
            None => PORT,
        };
        let fits = |c: char| !c.is_whitespace() && !"/?#@".contains(c);
        if host.is_empty() || !host.chars().all(fits) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
