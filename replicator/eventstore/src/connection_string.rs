//! Connection strings: `esdb://user:password@host:2113,other:2113?tls=false`.
//!
//! Schemes `esdb`, `kurrentdb`, `kdb`, each also with `+discover` (one DNS name that stands for all
//! nodes of a cluster). Several hosts, or `+discover`, mean a cluster: its members are asked for
//! the leader. A single host is a single node. Parameter names are case-insensitive, as in the
//! vendor's clients. Durations are in milliseconds; `-1` means never.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::address::NodeAddress;
use crate::error::{Error, Result};
use crate::legacy;
use crate::settings::ClientSettings;

/// Address, credentials and options of a store. `Debug` and `Display` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString {
    /// The nodes, in the order in which they are tried.
    pub nodes: Vec<NodeAddress>,
    /// True when the nodes are asked for the members of their cluster (`+discover`, or several
    /// nodes).
    pub cluster: bool,
    /// User and password.
    pub credentials: Option<Credentials>,
    /// True when the connection is encrypted; the default. False for `tls=false`.
    pub tls: bool,
    /// True when the server's certificate is verified; the default. False for
    /// `tlsVerifyCert=false`.
    pub tls_verify_cert: bool,
    /// A file with the certificates of the trusted authorities, instead of those of the machine.
    pub tls_ca_file: Option<String>,
    /// A file with the user's certificate, for a server that requires one.
    pub user_cert_file: Option<String>,
    /// A file with the key for `user_cert_file`.
    pub user_key_file: Option<String>,
    /// The preferred member of a cluster.
    pub node_preference: NodePreference,
    /// The name of the connection, shown by the server.
    pub connection_name: Option<String>,
    /// Parameters of the string that have no effect; for a warning.
    pub unknown_parameters: Vec<String>,
    /// Times by the parameter's name in lower case.
    times: BTreeMap<String, Duration>,
    discover_attempts_max: Option<u32>,
}

/// User and password. `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password of the user.
    pub password: String,
}

/// The preferred member of a cluster. Writes need the leader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NodePreference {
    /// The leader.
    #[default]
    Leader,
    /// A follower, else any member that is alive.
    Follower,
    /// A read-only replica, else any member that is alive.
    ReadOnlyReplica,
    /// Any member that is alive.
    Random,
}

/// Longer than the life of any process, and short enough to be added to a time.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl ConnectionString {
    /// The names of all parameters. They are compared without case.
    pub const PARAMETERS: [&str; 14] = [
        "tls",
        "tlsVerifyCert",
        "tlsCaFile",
        "userCertFile",
        "userKeyFile",
        "nodePreference",
        "connectionName",
        "keepAliveInterval",
        "keepAliveTimeout",
        "discoveryInterval",
        "gossipTimeout",
        "defaultDeadline",
        "maxDiscoverAttempts",
        "throwOnAppendFailure",
    ];

    /// Parses a connection string. No error repeats a text that may be a part of a password.
    ///
    /// # Errors
    /// `Rejected`, naming the part, its value and the expected form. The forms of the old TCP
    /// client (`ConnectTo=..`, `GossipSeeds=..`, `tcp://`, `discover://`) are refused with the
    /// string to use instead.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        legacy::refuse(text)?;
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            Error::rejected(
                "connection string: expected `esdb://[user:password@]host[:port][?name=value&..]`, \
                 actual: no `://` in it",
            )
        })?;
        let discover = discovers(scheme)?;
        let (authority, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        if parameters.contains('@') {
            // perhaps the rest of a password: nothing of it may be read as a host, or be shown
            return Err(Error::rejected(
                "connection string: expected no `@` after the first `?`: in a password write `?` as \
                 `%3F`, `@` as `%40`, `/` as `%2F`, `#` as `%23` and `%` as `%25`; in a parameter \
                 write `@` as `%40`",
            ));
        }
        let authority = authority.trim_end_matches('/');
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(credentials(user)?), hosts),
            None => (None, authority),
        };
        let nodes = hosts.split(',').map(NodeAddress::parse).collect::<Result<Vec<_>>>()?;
        let mut parsed = Self {
            cluster: discover || nodes.len() > 1,
            nodes,
            credentials,
            tls: true,
            tls_verify_cert: true,
            tls_ca_file: None,
            user_cert_file: None,
            user_key_file: None,
            node_preference: NodePreference::default(),
            connection_name: None,
            unknown_parameters: Vec::new(),
            times: BTreeMap::new(),
            discover_attempts_max: None,
        };
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            parsed.set(parameter)?;
        }
        parsed.unknown_parameters.dedup();
        if parsed.user_cert_file.is_some() != parsed.user_key_file.is_some() {
            return Err(Error::rejected(
                "connection string: expected `userCertFile` and `userKeyFile` together, actual one of them",
            ));
        }
        Ok(parsed)
    }

    /// `settings` with the times and attempts of this string.
    pub(crate) fn applied_to(&self, settings: ClientSettings) -> ClientSettings {
        let time = |name: &str, default| self.times.get(name).copied().unwrap_or(default);
        let attempts = self.discover_attempts_max;
        ClientSettings {
            keep_alive_interval: time("keepaliveinterval", settings.keep_alive_interval),
            keep_alive_timeout: time("keepalivetimeout", settings.keep_alive_timeout),
            discovery_interval: time("discoveryinterval", settings.discovery_interval),
            gossip_timeout: time("gossiptimeout", settings.gossip_timeout),
            discover_attempts_max: attempts.unwrap_or(settings.discover_attempts_max),
            request_timeout: time("defaultdeadline", settings.request_timeout),
            ..settings
        }
    }

    fn set(&mut self, parameter: &str) -> Result<()> {
        let (name, value) = parameter.split_once('=').ok_or_else(|| {
            // an unknown text may be a part of a password
            let is_known = Self::PARAMETERS.iter().any(|one| one.eq_ignore_ascii_case(parameter));
            let actual = if is_known { parameter } else { "another text" };
            Error::rejected(format!(
                "connection string: expected `name=value` after `?` and `&`, actual `{actual}`"
            ))
        })?;
        let value = decoded(value)?;
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "tls" => self.tls = boolean(name, &value)?,
            "tlsverifycert" => self.tls_verify_cert = boolean(name, &value)?,
            "tlscafile" => self.tls_ca_file = Some(value),
            "usercertfile" => self.user_cert_file = Some(value),
            "userkeyfile" => self.user_key_file = Some(value),
            "nodepreference" => self.node_preference = preference(name, &value)?,
            "connectionname" => self.connection_name = Some(value),
            "keepaliveinterval" | "keepalivetimeout" | "discoveryinterval" | "gossiptimeout"
            | "defaultdeadline" => {
                let time = never_or(name, &value, "milliseconds above 0, or -1 for never")?;
                self.times.insert(lower, time.map_or(NEVER, Duration::from_millis).min(NEVER));
            }
            "maxdiscoverattempts" => {
                let number = never_or(name, &value, "a number above 0, or -1 for no limit")?;
                let attempts = number.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
                self.discover_attempts_max = Some(attempts.unwrap_or(u32::MAX));
            }
            "throwonappendfailure" => {}
            _ => self.unknown_parameters.push(name.to_owned()),
        }
        Ok(())
    }
}

impl std::str::FromStr for ConnectionString {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plus = if self.cluster && self.nodes.len() == 1 { "+discover" } else { "" };
        write!(f, "esdb{plus}://")?;
        if let Some(credentials) = &self.credentials {
            write!(f, "{}:***@", credentials.user)?;
        }
        for (index, node) in self.nodes.iter().enumerate() {
            write!(f, "{}{node}", if index == 0 { "" } else { "," })?;
        }
        write!(f, "?tls={}", self.tls)?;
        if !self.tls_verify_cert {
            f.write_str("&tlsVerifyCert=false")?;
        }
        for (name, value) in [
            ("tlsCaFile", &self.tls_ca_file),
            ("userCertFile", &self.user_cert_file),
            ("userKeyFile", &self.user_key_file),
            ("connectionName", &self.connection_name),
        ] {
            if let Some(value) = value {
                write!(f, "&{name}={value}")?;
            }
        }
        if self.node_preference != NodePreference::Leader {
            write!(f, "&nodePreference={:?}", self.node_preference)?;
        }
        for (name, time) in &self.times {
            let known = Self::PARAMETERS.iter().find(|known| known.eq_ignore_ascii_case(name));
            let (name, millis) = (known.unwrap_or(&""), time.as_millis());
            if *time == NEVER { write!(f, "&{name}=-1")? } else { write!(f, "&{name}={millis}")? }
        }
        self.discover_attempts_max.map_or(Ok(()), |max| write!(f, "&maxDiscoverAttempts={max}"))
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionString({self})")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}:***)", self.user)
    }
}

fn discovers(scheme: &str) -> Result<bool> {
    let lower = scheme.to_ascii_lowercase();
    let (base, discover) = match lower.strip_suffix("+discover") {
        Some(base) => (base, true),
        None => (lower.as_str(), false),
    };
    if matches!(base, "esdb" | "kurrentdb" | "kdb" | "kurrent") {
        return Ok(discover);
    }
    // a text that is no scheme may have a password in it
    let is_plain = scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+');
    let actual = if is_plain { format!("`{scheme}`") } else { "another text".to_owned() };
    Err(Error::rejected(format!(
        "connection string: expected scheme `esdb`, `kurrentdb` or `kdb`, with or without \
         `+discover`, actual {actual}"
    )))
}

/// Parses the text before the `@`. Messages never repeat it, because it has the password.
fn credentials(text: &str) -> Result<Credentials> {
    let (user, password) = text.split_once(':').ok_or_else(|| {
        Error::rejected(
            "connection string: expected `user:password` before `@`, actual no `:` there",
        )
    })?;
    Ok(Credentials { user: decoded(user)?, password: decoded(password)? })
}

fn boolean(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(unexpected(name, "`true` or `false`", value)),
    }
}

fn preference(name: &str, value: &str) -> Result<NodePreference> {
    match value.to_ascii_lowercase().as_str() {
        "leader" => Ok(NodePreference::Leader),
        "follower" => Ok(NodePreference::Follower),
        "random" => Ok(NodePreference::Random),
        "readonlyreplica" => Ok(NodePreference::ReadOnlyReplica),
        _ => Err(unexpected(name, "`leader`, `follower`, `random` or `readOnlyReplica`", value)),
    }
}

/// A number above zero; none for -1.
fn never_or(name: &str, value: &str, expected: &str) -> Result<Option<u64>> {
    match value.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(number) if number > 0 => Ok(Some(number.unsigned_abs())),
        _ => Err(unexpected(name, expected, value)),
    }
}

fn unexpected(name: &str, expected: &str, actual: &str) -> Error {
    Error::rejected(format!("connection string: `{name}`: expected {expected}, actual `{actual}`"))
}

/// Resolves percent-encoded bytes such as `%41`.
fn decoded(text: &str) -> Result<String> {
    let wrong = || {
        Error::rejected(
            "connection string: a `%` must be followed by two hexadecimal digits and give UTF-8; \
             write a plain `%` as `%25`",
        )
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
            let digits = digits.filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let digits = digits.ok_or_else(wrong)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
#[path = "connection_string/tests.rs"]
mod tests;
