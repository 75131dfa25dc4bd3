//! Checks that this machine can listen on an address, and makes the error when it cannot.

use std::io::ErrorKind;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

use crate::{Error, Result};

/// Checks that the address belongs to this machine, and that this user may use its port. The port
/// may be in use: a running node has its own. No connection can come in during the check, and a
/// program that listens on the port at the same time succeeds.
///
/// # Errors
/// `Rejected`, naming the setting, the address and the expected value.
pub fn check_listen(setting: &str, address: SocketAddr) -> Result<()> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    };
    match bound() {
        Err(error) if error.kind() != ErrorKind::AddrInUse => {
            Err(cannot_listen(setting, address, &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The error for an address that cannot be listened on: `Rejected`, with the remedy for its cause.
pub fn cannot_listen(setting: &str, address: SocketAddr, error: &std::io::Error) -> Error {
    let remedies = [
        (ErrorKind::AddrNotAvailable, "expected an address of this machine"),
        (ErrorKind::PermissionDenied, "expected a port that this user may listen on"),
        (ErrorKind::AddrInUse, "choose a free port, or 0 for any"),
    ];
    let remedy = remedies.iter().find(|(kind, _)| *kind == error.kind());
    let remedy = remedy.map_or("expected an address to listen on", |(_, remedy)| *remedy);
    Error::rejected(format!("`{setting}`: cannot listen on {address}: {error}: {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_machine_is_refused_with_its_own_remedy() {
        // an address for documentation (RFC 5737), which no machine has
        let foreign = "192.0.2.1:0".parse().unwrap();
        let message = check_listen("bind", foreign).unwrap_err().to_string();
        assert!(message.starts_with("`bind`: cannot listen on 192.0.2.1:0"), "{message}");
        assert!(message.ends_with("expected an address of this machine"), "{message}");
    }

    #[test]
    fn the_port_of_a_running_node_is_no_error_of_a_check() {
        let node = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = node.local_addr().unwrap();
        check_listen("bind", address).unwrap();
        let error = std::net::TcpListener::bind(address).unwrap_err();
        let message = cannot_listen("bind", address, &error).to_string();
        assert!(message.ends_with("choose a free port, or 0 for any"), "{message}");
    }
}
