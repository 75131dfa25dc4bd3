//! The limits of the HTTP interface.

use std::time::Duration;

use antiphon_base::bounds::{self, HOUR};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The limits of the HTTP interface. Plain values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Connections at the same time. Beyond the limit, a new connection takes the place of the one
    /// that has had no request for the longest time; while all have a request under way, the new
    /// connection is closed. Default: 256.
    pub connections_max: usize,
    /// Time that a client may take for a request, from the connection or the last answer to the
    /// end of its head, and for its body; and the time in which a client must take a byte of its
    /// answer. Then the connection is closed. A balancer closes its idle connections earlier (most
    /// after 60 s), so that it does not send a request on a connection that is being closed here.
    /// Default: 75 s.
    #[serde(with = "antiphon_base::time::text")]
    pub request_timeout: Duration,
    /// Bytes in the body of a request; a larger body is answered with 413. Default: 2 MiB.
    pub body_bytes_max: usize,
    /// Names by which clients may address the node, in addition to IP addresses, `localhost`, names
    /// without a dot and `advertised_host`; `"*"` for any name. A web page can give a name of its
    /// own the address of this node, and would read and write here in the browsers of its readers;
    /// requests to such names are answered with 421. Default: none.
    pub hosts: Vec<String>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connections_max: 256,
            request_timeout: Duration::from_secs(75),
            body_bytes_max: 2 << 20,
            hosts: Vec::new(),
        }
    }
}

impl HttpSettings {
    /// Checks every value.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and what was expected.
    pub fn validate(&self) -> Result<()> {
        bounds::count("connections_max", self.connections_max, 4..=1 << 20)?;
        bounds::duration("request_timeout", self.request_timeout, Duration::from_secs(1)..=HOUR)?;
        bounds::count("body_bytes_max", self.body_bytes_max, 1024..=64 << 20)?;
        let is_name = |host: &String| {
            host == "*" || !host.is_empty() && !host.contains([':', '/', '*', ' ', '@'])
        };
        match self.hosts.iter().find(|host| !is_name(host)) {
            None => Ok(()),
            Some(host) => Err(Error::rejected(format!(
                "`hosts`: expected names without a port, such as \"antiphon.example\", or \"*\", actual {host:?}"
            ))),
        }
    }

    /// Returns whether a client may address the node by this name, which may have a port.
    pub(super) fn is_ours(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_address = name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok();
        is_address
            || !name.contains('.')
            || self.hosts.iter().any(|own| {
                let own = own.strip_suffix('.').unwrap_or(own);
                own == "*" || own.eq_ignore_ascii_case(name)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_stranger_can_own_are_none_of_ours() {
        let settings =
            HttpSettings { hosts: vec!["Antiphon.example.".into()], ..HttpSettings::default() };
        for ours in [
            "127.0.0.1:8080",
            "10.1.2.3",
            "[::1]:8080",
            "[::1]",
            "localhost",
            "localhost:8080",
            "node-a1:8080",
            "antiphon.example",
            "ANTIPHON.example:80",
            "antiphon.example.",
        ] {
            assert!(settings.is_ours(ours), "{ours}");
        }
        for other in ["evil.example", "evil.example:8080", "x.antiphon.example", "127.0.0.1.nip.io"]
        {
            assert!(!settings.is_ours(other), "{other}");
        }
        let any = HttpSettings { hosts: vec!["*".into()], ..HttpSettings::default() };
        assert!(any.is_ours("evil.example"));
    }

    #[test]
    fn names_with_a_port_and_few_connections_are_refused() {
        for hosts in ["", "a:80", "http://a", "*.a"] {
            let settings = HttpSettings { hosts: vec![hosts.into()], ..HttpSettings::default() };
            assert!(settings.validate().unwrap_err().to_string().contains("`hosts`"));
        }
        let settings = HttpSettings { connections_max: 1, ..HttpSettings::default() };
        assert!(settings.validate().unwrap_err().to_string().contains("`connections_max`"));
    }
}
