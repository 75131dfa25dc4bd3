//! The settings of the HTTP interface: its limits, and who may use it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use antiphon_base::bounds::{self, HOUR};
use serde::{Deserialize, Serialize};

use super::access::{EntityAccess, Register};
use super::audit::AuditSettings;
use super::tls::{HttpTls, ServerTls};
use crate::certificates::now;
use crate::{Error, Result};

/// The settings of the HTTP interface. Plain values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Connections at the same time. Beyond the limit, a new connection takes the place of one
    /// without a request under way: of the address with the most connections, the one that is idle
    /// for the longest time. While all have a request under way, the new connection is closed.
    /// Default: 256.
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
    /// Requests to the routes of the application at the same time, each from the arrival of its
    /// body (of `body_bytes_max` of it, if it is longer) to the end of its answer; a further one is
    /// answered with 503 and `retry-after`, without effect. Less than `connections_max` leaves
    /// connections to the entities and the health. Default: 128.
    pub application_requests_max: usize,
    /// Of these, the requests of one caller: a client of the tokens file, or else the address of a
    /// connection. Behind a balancer all clients without a token have one address. Default: 96.
    pub application_caller_requests_max: usize,
    /// Bytes of the bodies of requests to the application that have arrived and that their routes
    /// have not taken, of all connections together; a request beyond is answered with 503 and
    /// `retry-after`, without effect. From `body_bytes_max` to 4 GiB. Default: 64 MiB.
    pub application_bodies_bytes_max: usize,
    /// Time that a route of the application may take until the head of its answer; then its future
    /// is dropped, and the answer is 504: the request may have taken effect. Default: 30 s.
    #[serde(with = "antiphon_base::time::text")]
    pub application_timeout: Duration,
    /// Time after the head of an answer of the application from which on it is broken off for a
    /// request that finds no turn: the longest one of the caller with the most turns. While there
    /// are turns, an answer may go on for ever, as a stream of events does. From zero to an hour.
    /// Default: 1 min.
    #[serde(with = "antiphon_base::time::text")]
    pub application_answer_time: Duration,
    /// Stores the header `traceparent` of a request to `/entities/..` as metadata of its command.
    /// The first event with metadata ends the way back to versions that do not know metadata, and
    /// any client can send the header: set it when all nodes, replicators and readers of journals
    /// are upgraded. Default: `false`.
    pub trace_commands: bool,
    /// Names by which clients may address the node, in addition to IP addresses, `localhost`, names
    /// without a dot and `advertised_host`; `"*"` for any name. A web page can give a name of its
    /// own the address of this node, and would read and write here in the browsers of its readers;
    /// requests to such names are answered with 421. Default: none.
    pub hosts: Vec<String>,
    /// The certificates of HTTPS. Default: none, for plain HTTP, which a node takes on a loopback
    /// address only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<HttpTls>,
    /// The file with the hashes of tokens, and the rights of each client; `antiphon token` writes
    /// it. With it, each request but those for the health needs a token or a client certificate.
    /// Default: none, which a node takes on a loopback address only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_file: Option<PathBuf>,
    /// Interval at which changed certificates and tokens are noticed. Default: 10 s.
    #[serde(with = "antiphon_base::time::text")]
    pub reload_interval: Duration,
    /// Lets a node listen on any address without certificates or without tokens: whoever reaches
    /// the address may do everything. Default: `false`.
    pub insecure: bool,
    /// The access to entities. Default: `token` with a tokens file, else `open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entities: Option<EntityAccess>,
    /// The audit log. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditSettings>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connections_max: 256,
            request_timeout: Duration::from_secs(75),
            body_bytes_max: 2 << 20,
            application_requests_max: 128,
            application_caller_requests_max: 96,
            application_bodies_bytes_max: 64 << 20,
            application_timeout: Duration::from_secs(30),
            application_answer_time: Duration::from_secs(60),
            trace_commands: false,
            hosts: Vec::new(),
            tls: None,
            tokens_file: None,
            reload_interval: Duration::from_secs(10),
            insecure: false,
            entities: None,
            audit: None,
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
        let requests_max = self.application_requests_max;
        bounds::count("application_requests_max", requests_max, 1..=1 << 20)?;
        let caller_max = self.application_caller_requests_max;
        bounds::count("application_caller_requests_max", caller_max, 1..=1 << 20)?;
        let least = self.body_bytes_max;
        let bodies_max = self.application_bodies_bytes_max;
        bounds::count("application_bodies_bytes_max", bodies_max, least..=1 << 32)?;
        let answer_time = self.application_answer_time;
        bounds::duration("application_answer_time", answer_time, Duration::ZERO..=HOUR)?;
        let least = Duration::from_millis(1);
        bounds::duration("application_timeout", self.application_timeout, least..=HOUR)?;
        bounds::duration(
            "reload_interval",
            self.reload_interval,
            Duration::from_millis(100)..=HOUR,
        )?;
        if let Some(audit) = &self.audit {
            audit.validate(self.connections_max)?;
        }
        if self.entities == Some(EntityAccess::Token) && self.tokens_file.is_none() {
            return Err(Error::rejected(
                "`entities`: expected `tokens_file` with \"token\", actual none",
            ));
        }
        if self.tls.as_ref().is_some_and(|tls| tls.ca_file.is_some()) && self.tokens_file.is_none()
        {
            return Err(Error::rejected(
                "`tls.ca_file`: expected `tokens_file`, which has the rights of client certificates, actual none",
            ));
        }
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

    /// Checks that strangers cannot use the interface where they may reach it: on every address but
    /// those of this machine.
    ///
    /// # Errors
    /// `Rejected`, with the commands that make certificates and tokens.
    pub fn check_protection(&self, bind: SocketAddr) -> Result<()> {
        if self.is_protected() || self.insecure || bind.ip().is_loopback() {
            return Ok(());
        }
        let missing = match (&self.tls, &self.tokens_file) {
            (None, None) => "`http.tls` and `http.tokens_file`",
            (None, Some(_)) => "`http.tls`",
            (Some(_), _) => "`http.tokens_file`",
        };
        Err(Error::rejected(format!(
            "{missing}: expected certificates and tokens, because others can reach `http_bind` {bind}: `antiphon cert` and `antiphon token` make them; \
             `http.insecure = true` starts a node that everyone who reaches it may use"
        )))
    }

    /// Reads the files that these settings name, as the start of a node will, and makes none.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, the file and what was expected.
    pub fn check_files(&self) -> Result<()> {
        if let Some(files) = &self.tls {
            ServerTls::read(files, now())?;
        }
        if let Some(file) = &self.tokens_file {
            self.check_register(&Register::read(file)?)?;
        }
        self.audit.as_ref().map_or(Ok(()), AuditSettings::check_file)
    }

    /// Checks that client certificates in the tokens file can be shown.
    pub(super) fn check_register(&self, register: &Register) -> Result<()> {
        let takes_certificates = self.tls.as_ref().is_some_and(|tls| tls.ca_file.is_some());
        if takes_certificates || !register.has_certificates() {
            return Ok(());
        }
        Err(Error::rejected(
            "`http.tls.ca_file`: expected the authorities of the client certificates that `http.tokens_file` names, actual none",
        ))
    }

    /// Returns whether strangers get nothing from the interface, and see nothing.
    pub(super) fn is_protected(&self) -> bool {
        self.tls.is_some() && self.tokens_file.is_some()
    }

    /// The access to entities.
    pub(super) fn entity_access(&self) -> EntityAccess {
        let has_tokens = self.tokens_file.is_some();
        self.entities.unwrap_or(if has_tokens { EntityAccess::Token } else { EntityAccess::Open })
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
    fn a_node_that_others_reach_needs_certificates_and_tokens() {
        let (here, there) = (([127, 0, 0, 1], 80).into(), ([10, 0, 0, 1], 80).into());
        let files =
            || HttpTls { cert_file: "a.pem".into(), key_file: "a.key".into(), ca_file: None };
        let with = |tls: bool, tokens: bool, insecure| HttpSettings {
            tls: tls.then(files),
            tokens_file: tokens.then(|| "tokens.toml".into()),
            insecure,
            ..HttpSettings::default()
        };
        for (settings, missing) in [
            (with(false, false, false), Some("`http.tls` and `http.tokens_file`")),
            (with(true, false, false), Some("`http.tokens_file`")),
            (with(false, true, false), Some("`http.tls`")),
            (with(true, true, false), None),
            (with(false, false, true), None),
        ] {
            settings.check_protection(here).unwrap();
            let error = settings.check_protection(there).err().map(|error| error.to_string());
            match (&error, missing) {
                (None, None) => {}
                (Some(error), Some(missing)) => {
                    assert!(error.starts_with(missing) && error.contains("10.0.0.1:80"), "{error}");
                }
                (_, _) => panic!("{settings:?}: {error:?}"),
            }
        }
    }

    #[test]
    fn entities_are_open_until_there_are_tokens() {
        let with = |tokens: bool, entities| HttpSettings {
            tokens_file: tokens.then(|| "tokens.toml".into()),
            entities,
            ..HttpSettings::default()
        };
        assert_eq!(with(false, None).entity_access(), EntityAccess::Open);
        assert_eq!(with(true, None).entity_access(), EntityAccess::Token);
        assert_eq!(with(true, Some(EntityAccess::Off)).entity_access(), EntityAccess::Off);
        let error = with(false, Some(EntityAccess::Token)).validate().unwrap_err().to_string();
        assert!(error.contains("`entities`") && error.contains("`tokens_file`"), "{error}");
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
