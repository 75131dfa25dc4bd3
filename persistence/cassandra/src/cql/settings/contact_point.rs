//! The form of a contact point.

/// Returns whether a text is `host` or `host:port`; an IPv6 address is in brackets.
pub(super) fn is_contact_point(point: &str) -> bool {
    let (host, port) = match point.rsplit_once(':') {
        Some((host, port)) if !point.ends_with(']') => (host, Some(port)),
        _ => (point, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    is_port && is_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_points_are_hosts_with_or_without_a_port() {
        for good in ["a", "a:9042", "10.0.0.1", "10.0.0.1:9042", "[::1]", "[::1]:9042", "db-1.x"] {
            assert!(is_contact_point(good), "{good}");
        }
        for bad in ["", ":9042", "a:", "a:0", "a:70000", "http://a", "a b", "::1", "[a]:1", "a,b"] {
            assert!(!is_contact_point(bad), "{bad}");
        }
    }
}
