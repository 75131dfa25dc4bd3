//! A relay that acknowledges each packet at once, so that no sender waits for a delayed
//! acknowledgement.

use std::io;
use std::net::SocketAddr;

use antiphon_base::task;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Starts a relay to a server. Returns its address.
pub(crate) async fn start(server: String) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    task::spawn("relay", async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(&server).await else { return };
            for stream in [&client, &server] {
                let _ = stream.set_nodelay(true);
            }
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            task::spawn("up", copy(from_client, to_server));
            task::spawn("down", copy(from_server, to_client));
        }
    });
    Ok(address)
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // the system forgets it after some packets
        SockRef::from(from.as_ref()).set_tcp_quickack(true)?;
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await?;
    }
}
