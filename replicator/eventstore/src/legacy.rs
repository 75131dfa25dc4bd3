//! Connection strings of the TCP client that ended with EventStoreDB 5. They are recognised, so
//! that the error can name the string to use instead. A TCP port does not tell the HTTP port, so
//! the error proposes the usual one.

use crate::address::{NodeAddress, PORT};
use crate::error::{Error, Result};

const KEYS: [&str; 5] =
    ["connectto=", "gossipseeds=", "heartbeattimeout=", "defaultusercredentials=", "clusterdns="];

/// Fails for an old string, with the new one in the message. Never repeats the password.
pub(crate) fn refuse(text: &str) -> Result<()> {
    let lower = text.to_ascii_lowercase();
    let bare = lower.starts_with("tcp://") || lower.starts_with("discover://");
    if !bare && !KEYS.iter().any(|key| lower.contains(key) && !lower.contains("esdb")) {
        return Ok(());
    }
    let mut old = Old::default();
    if bare {
        old.connect_to(text);
    } else {
        text.split(';').for_each(|part| old.read(part));
    }
    // an `@` at another place is a part of a password, and so perhaps is the host before it
    let parts = || text.split(';').map(str::trim);
    let is_place = |part: &str| {
        let name = part.split(['=', ':']).next().unwrap_or_default().to_ascii_lowercase();
        ["connectto", "tcp", "discover"].contains(&&*name)
    };
    if parts().any(|part| part.contains('@') && !is_place(part)) {
        old = Old::default();
    }
    Err(Error::rejected(format!(
        "connection string: the TCP protocol of EventStoreDB 5 is not spoken: use the gRPC interface \
         of server 20.6 or newer, write `{}`",
        old.instead()
    )))
}

#[derive(Default)]
struct Old {
    user: Option<String>,
    nodes: Vec<NodeAddress>,
    discover: bool,
    tls: bool,
}

impl Old {
    fn read(&mut self, part: &str) {
        let Some((name, value)) = part.split_once('=') else { return };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "connectto" => self.connect_to(value),
            "gossipseeds" => {
                self.nodes =
                    value.split(',').filter_map(|seed| NodeAddress::parse(seed).ok()).collect();
            }
            "defaultusercredentials" => self.credentials(value),
            "usesslconnection" => self.tls = value.eq_ignore_ascii_case("true"),
            _ => {}
        }
    }

    fn connect_to(&mut self, value: &str) {
        let Some((scheme, rest)) = value.split_once("://") else { return };
        let (user, hosts) = rest.rsplit_once('@').map_or((None, rest), |(u, h)| (Some(u), h));
        if let Some(user) = user {
            self.credentials(user);
        }
        self.discover = scheme.eq_ignore_ascii_case("discover");
        let hosts = hosts.trim_end_matches('/').split(',');
        self.nodes = hosts.filter_map(|host| NodeAddress::parse(host).ok()).collect();
        if !self.discover {
            self.nodes.iter_mut().for_each(|node| node.port = PORT);
        }
    }

    fn credentials(&mut self, value: &str) {
        // without a password behind it, the text may itself be one
        self.user = value.split_once(':').map(|(user, _)| user.to_owned());
    }

    fn instead(&self) -> String {
        let plus = if self.discover { "+discover" } else { "" };
        let nodes = if self.nodes.is_empty() {
            return format!("esdb://user:<password>@host:{PORT}?tls={}", self.tls);
        } else {
            self.nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        let user = self.user.as_ref().map(|user| format!("{user}:<password>@")).unwrap_or_default();
        format!("esdb{plus}://{user}{nodes}?tls={}", self.tls)
    }
}
