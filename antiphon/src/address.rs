//! The host under which other nodes reach a node.

use std::net::{IpAddr, Ipv6Addr};

use antiphon_runtime::{Error, Result};

/// Checks the setting `advertised_host`: a name, or an address that others can reach, without a
/// port.
pub(crate) fn check_host(host: &str) -> Result<()> {
    let refused = |expected: &str| {
        Err(Error::rejected(format!("`advertised_host`: expected {expected}, actual {host:?}")))
    };
    let bare = without_brackets(host);
    let is_version_6 = bare.parse::<Ipv6Addr>().is_ok();
    let is_wrong = |c: char| {
        c.is_whitespace() || c.is_control() || c == '/' || (!is_version_6 && "[]:".contains(c))
    };
    if host.is_empty() || host.chars().any(is_wrong) {
        return refused("a name or an address without a port");
    }
    match bare.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => {
            refused("a host that other nodes can reach, and not every address of this machine")
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A host and a port as one address; an IPv6 address gets brackets.
pub fn host_and_port(host: &str, port: u16) -> String {
    match without_brackets(host).parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    }
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_host_has_no_port_and_can_be_reached() {
        for host in ["node-1.example:7400", "10.0.0.1:7400", "[::1]:7400", "a/b", "a b", "", "[a]"]
        {
            let message = check_host(host).unwrap_err().to_string();
            assert!(message.contains("without a port"), "{message}");
        }
        for host in ["0.0.0.0", "::", "[::]", "0:0:0:0:0:0:0:0"] {
            let message = check_host(host).unwrap_err().to_string();
            assert!(message.contains("that other nodes can reach"), "{message}");
        }
        for host in ["node-1.example", "10.0.0.1", "::1", "[::1]", "fe80::1"] {
            check_host(host).unwrap();
        }
    }

    #[test]
    fn an_address_of_version_6_has_brackets_before_its_port() {
        assert_eq!(host_and_port("node-1.example", 7), "node-1.example:7");
        assert_eq!(host_and_port("10.0.0.1", 7), "10.0.0.1:7");
        assert_eq!(host_and_port("::1", 7), "[::1]:7");
        assert_eq!(host_and_port("[::1]", 7), "[::1]:7");
    }
}
