//! The sockets of the transport, and their options.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

use crate::{Error, Result};

/// Connects to an address within the time.
///
/// # Errors
/// `Unavailable` or `Timeout`.
pub(super) async fn connect(address: &str, limit: Duration) -> Result<TcpStream> {
    match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Error::unavailable(error.to_string())),
        Err(_) => Err(Error::timeout("no connection in time")),
    }
}

/// Returns whether the error says that this process, or the machine, has no file descriptor left:
/// EMFILE and ENFILE, the same numbers on all systems of the Unix family.
pub(super) fn is_descriptor_limit(number: i32) -> bool {
    matches!(number, 23 | 24)
}

/// Listens, with room for the connections that are not accepted yet: the system lets others wait
/// for a second when that room is full.
pub(super) fn listen(bind: SocketAddr, backlog: usize) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(bind), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&bind.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Sets socket options. A connection works without them; on systems that do not know them they are
/// left out.
pub(super) fn tune(stream: &TcpStream, user_timeout: Duration) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(user_timeout).with_interval(user_timeout);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(user_timeout));
}
